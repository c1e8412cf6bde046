"""Declared parameters: what each kind of field takes, how it normalises it, and how it refuses what it cannot have."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
import pytest

from lava_aug.core.errors import LavaAugError, SpecError
from lava_aug.core.spec import Spec, array, boolean, integer, number, numbers, pair, registered, shape, text


class Bounded(Spec):
    """Numbers."""

    count: int = integer(low=1, high=9, default=1, stored_as="count", doc="a count")
    least: int = integer(low=-2, default=0, stored_as="least", doc="bounded below")
    most: int = integer(high=5, default=0, stored_as="most", doc="bounded above")
    free: int = integer(default=0, stored_as="free", doc="unbounded")
    maybe: int | None = integer(low=0, optional=True, default=None, stored_as="maybe", doc="or none")
    real: float = number(low=-1, high=1, default=0.0, stored_as="real", doc="a number")
    perhaps: float | None = number(optional=True, default=None, stored_as="perhaps", doc="or none")


class Other(Spec):
    """All other kinds."""

    flag: bool = boolean(default=False, stored_as="flag", doc="a flag")
    label: str = text(default="x", stored_as="label", doc="a text")
    size: tuple[int, int] = pair(low=1, default=(1, 1), stored_as="size", doc="a pair")
    dims: tuple[int, ...] = shape(default=(1,), stored_as=None, doc="a shape")
    matrix: Any = array(ndim=2, optional=True, default=None, stored_as="matrix", doc="a matrix")
    values: Any = array(optional=True, default=None, stored_as="values", doc="any array")


class Many(Spec):
    """Numbers or arrays of them."""

    few: Any = numbers(low=1, high=9, whole=True, default=1, stored_as="few", doc="integers within bounds")
    real: Any = numbers(low=-1, optional=True, default=None, stored_as="real", doc="any, bounded below")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("few", 9, 9),
        ("few", np.uint8(3), 3),
        ("few", np.array(3), 3),
        ("real", None, None),
        ("real", -1, -1),
        ("real", np.float32(0.5), 0.5),
    ],
)
def test_single_numbers_are_normalised(name: str, value: Any, expected: Any) -> None:
    assert exact(getattr(Many(**{name: value}), name), expected)


@pytest.mark.parametrize(
    ("name", "value", "dtype"),
    [
        ("few", [1, 9], np.int8),
        ("few", np.array([[2]], np.uint64), np.int8),
        ("real", (300, -1), np.int16),
        ("real", [0.5, 3], np.float32),
    ],
)
def test_arrays_of_numbers_are_normalised(name: str, value: Any, dtype: type) -> None:
    found = getattr(Many(**{name: value}), name)
    assert (found.tolist(), found.dtype, found.flags.writeable) == (np.array(value).tolist(), dtype, False)
    assert Many(**{name: found}) == Many(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("few", 0, "Many.few: expected an integer from 1 to 9, found 0"),
        ("few", [1, 10, 0], "Many.few: expected an integer from 1 to 9, found 10 at (1,)"),
        ("few", [[1.5]], "Many.few: expected an integer from 1 to 9, found 1.5 at (0, 0)"),
        ("few", None, "Many.few: expected an integer from 1 to 9, found None"),
        ("few", np.array(0), "Many.few: expected an integer from 1 to 9, found 0"),
        ("real", [0, -2], "Many.real: expected a finite number of at least -1, found -2 at (1,)"),
        ("real", [0.5, np.inf], "Many.real: expected a finite number of at least -1, found inf at (1,)"),
        ("real", [1e300], "Many.real: expected finite numbers in float32, found 1 NaN or infinite ones"),
        ("real", "1", "Many.real: expected a finite number of at least -1, found '1'"),
        ("real", [], "Many.real: expected a non-empty array of numbers, found float64 of shape (0,)"),
    ],
)
def test_arrays_of_numbers_are_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Many(**{name: value})
    assert str(caught.value) == message


def exact(found: Any, expected: Any) -> bool:
    """Equal, and of the same type."""
    return type(found) is type(expected) and found == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("count", 1, 1),
        ("count", 9, 9),
        ("count", np.int64(3), 3),
        ("count", np.uint8(9), 9),
        ("least", -2, -2),
        ("least", 10**30, 10**30),
        ("most", 5, 5),
        ("most", -(10**30), -(10**30)),
        ("free", -7, -7),
        ("maybe", None, None),
        ("maybe", 0, 0),
        ("real", -1, -1),
        ("real", 1.0, 1.0),
        ("real", np.float32(0.5), 0.5),
        ("real", np.int8(1), 1),
        ("perhaps", None, None),
        ("perhaps", 1e300, 1e300),
    ],
)
def test_numbers_are_normalised(name: str, value: Any, expected: Any) -> None:
    assert exact(getattr(Bounded(**{name: value}), name), expected)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", 0, "Bounded.count: expected an integer from 1 to 9, found 0"),
        ("count", 10, "Bounded.count: expected an integer from 1 to 9, found 10"),
        ("count", 2.0, "Bounded.count: expected an integer from 1 to 9, found 2.0"),
        ("count", True, "Bounded.count: expected an integer from 1 to 9, found True"),
        ("count", "3", "Bounded.count: expected an integer from 1 to 9, found '3'"),
        ("count", None, "Bounded.count: expected an integer from 1 to 9, found None"),
        ("least", -3, "Bounded.least: expected an integer of at least -2, found -3"),
        ("most", 6, "Bounded.most: expected an integer of at most 5, found 6"),
        ("free", 0.5, "Bounded.free: expected an integer, found 0.5"),
        ("maybe", -1, "Bounded.maybe: expected an integer of at least 0, found -1"),
        ("real", 1.5, "Bounded.real: expected a finite number from -1 to 1, found 1.5"),
        ("real", float("nan"), "Bounded.real: expected a finite number from -1 to 1, found nan"),
        ("real", False, "Bounded.real: expected a finite number from -1 to 1, found False"),
        ("real", None, "Bounded.real: expected a finite number from -1 to 1, found None"),
        ("perhaps", float("inf"), "Bounded.perhaps: expected a finite number, found inf"),
        ("perhaps", "1", "Bounded.perhaps: expected a finite number, found '1'"),
    ],
)
def test_numbers_are_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Bounded(**{name: value})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("flag", True, True),
        ("flag", np.bool_(True), True),
        ("label", "conv1", "conv1"),
        ("size", 3, (3, 3)),
        ("size", np.int32(3), (3, 3)),
        ("size", (1, 2), (1, 2)),
        ("size", [4, 5], (4, 5)),
        ("size", np.array([6, 7]), (6, 7)),
        ("dims", [3], (3,)),
        ("dims", np.array([1, 2, 3]), (1, 2, 3)),
    ],
)
def test_others_are_normalised(name: str, value: Any, expected: Any) -> None:
    found = getattr(Other(**{name: value}), name)
    assert exact(found, expected)
    assert not isinstance(found, tuple) or all(type(item) is int for item in found)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("flag", 1, "Other.flag: expected True or False, found 1"),
        ("flag", None, "Other.flag: expected True or False, found None"),
        ("label", "", "Other.label: expected a non-empty text, found ''"),
        ("label", 5, "Other.label: expected a non-empty text, found 5"),
        ("size", 0, "Other.size: expected one or two integers of at least 1, found 0"),
        ("size", (1, 2, 3), "Other.size: expected one or two integers of at least 1, found (1, 2, 3)"),
        ("size", (1, 2.0), "Other.size: expected one or two integers of at least 1, found (1, 2.0)"),
        ("size", "ab", "Other.size: expected one or two integers of at least 1, found 'ab'"),
        ("size", np.array(3), "Other.size: expected one or two integers of at least 1, found array(3)"),
        ("dims", (), "Other.dims: expected a tuple of positive integers, found ()"),
        ("dims", (2, 0), "Other.dims: expected a tuple of positive integers, found (2, 0)"),
        ("dims", 4, "Other.dims: expected a tuple of positive integers, found 4"),
        ("dims", np.array(4), "Other.dims: expected a tuple of positive integers, found array(4)"),
        ("matrix", [1, 2], "Other.matrix: expected 2 dimensions, found shape (2,)"),
        ("matrix", [[]], "Other.matrix: expected a non-empty array of numbers, found float64 of shape (1, 0)"),
        ("values", ["a"], "Other.values: expected a non-empty array of numbers, found <U1 of shape (1,)"),
        ("values", [True], "Other.values: expected a non-empty array of numbers, found bool of shape (1,)"),
        ("values", [10**30], "Other.values: expected a non-empty array of numbers, found object of shape (1,)"),
        ("values", [1.0, np.nan], "Other.values: expected finite numbers in float32, found 1 NaN or infinite ones"),
        ("values", [1e300, -1e39], "Other.values: expected finite numbers in float32, found 2 NaN or infinite ones"),
        (
            "values",
            np.array([1, 2**63], np.uint64),
            "Other.values: expected 64-bit integers: integers from 1 to 9223372036854775808 do not fit into 64 bits",
        ),
    ],
)
def test_others_are_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Other(**{name: value})
    assert str(caught.value) == message


def test_ragged_arrays_are_refused() -> None:
    with pytest.raises(SpecError, match=r"^Other\.values: expected a rectangular array of numbers: "):
        Other(values=[[1, 2], [3]])


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ([1, -128], np.int8, [1, -128]),
        ([128], np.int16, [128]),
        ([40000], np.int32, [40000]),
        (np.array([2**40]), np.int64, [2**40]),
        (np.array([255], np.uint8), np.int16, [255]),
        ([0.5, 2.0], np.float32, [0.5, 2.0]),
        (np.array([0.25], np.float16), np.float32, [0.25]),
        (3, np.int8, 3),
    ],
)
def test_arrays_are_narrowed(value: Any, dtype: type, expected: Any) -> None:
    found = Other(values=value).values
    assert found.dtype == dtype
    assert found.tolist() == expected


def test_arrays_are_read_only_contiguous_copies() -> None:
    mine = np.arange(6, dtype=np.int8).reshape(2, 3)
    found = Other(matrix=mine.T).matrix
    mine[0, 0] = 99
    assert found.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1


def test_errors_are_value_errors_of_ours() -> None:
    with pytest.raises(ValueError, match="count") as caught:
        Bounded(count=0)
    assert isinstance(caught.value, LavaAugError)


def test_misspelt_and_positional_parameters_are_refused() -> None:
    with pytest.raises(TypeError, match="coumt"):
        Bounded(coumt=1)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="positional"):
        Bounded(1)  # pyright: ignore[reportCallIssue]


def test_objects_are_frozen() -> None:
    one = Bounded()
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.count = 2  # pyright: ignore[reportAttributeAccessIssue]
    assert one.count == 1


def test_equality() -> None:
    assert Bounded(count=2) == Bounded().replace(count=np.int8(2))
    assert Bounded(count=2) != Bounded(count=3)
    assert Bounded(real=1) != Bounded(real=1.0)  # an integer neuron is not a floating-point one
    assert Bounded() != Other()
    assert Bounded() != 1


def test_equality_of_arrays() -> None:
    assert Other(values=[1, 2]) == Other(values=np.array([1, 2], np.int64))
    assert Other(values=[1, 2]) != Other(values=[1, 3])
    assert Other(values=[1, 2]) != Other(values=[[1, 2]])
    assert Other(values=[1, 2]) != Other(values=[1.0, 2.0])
    assert Other(values=[1, 2]) != Other()


def test_unhashable() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Bounded())


def test_replace_changes_a_copy_and_checks_it() -> None:
    one = Bounded(count=2, real=0.5)
    assert one.replace(count=np.int16(3)) == Bounded(count=3, real=0.5)
    assert one == Bounded(count=2, real=0.5)
    with pytest.raises(SpecError, match=r"^Bounded\.count: expected an integer from 1 to 9, found 10$"):
        one.replace(count=10)
    with pytest.raises(TypeError, match="coumt"):
        one.replace(coumt=1)


def test_repr_is_short() -> None:
    assert repr(Other(label="a", values=np.zeros((3, 4)))) == "Other(label='a', values=<float32 (3, 4)>)"
    assert repr(Other(flag=True, size=2)) == "Other(flag=True, size=(2, 2))"  # pyright: ignore[reportArgumentType]
    assert len(repr(Other(label="a" * 4000))) < 150


def test_declarations_tell_files_and_docs() -> None:
    found = [(name, declared.stored_as, declared.doc) for name, declared in Other.declarations()]
    assert found == [
        ("flag", "flag", "a flag"),
        ("label", "label", "a text"),
        ("size", "size", "a pair"),
        ("dims", None, "a shape"),
        ("matrix", "matrix", "a matrix"),
        ("values", "values", "any array"),
    ]


def test_declarations_are_inherited() -> None:
    class Longer(Other):
        extra: int = integer(default=4, stored_as="extra", doc="one more")

    assert [name for name, _ in Longer.declarations()][-2:] == ["values", "extra"]
    assert Longer(label="b").extra == 4
    assert Longer() != Other()


def test_registered_enters_each_name_once() -> None:
    table: dict[str, type[Spec]] = {}

    @registered(table)
    class First(Spec):
        type_name: ClassVar[str] = "one"

    assert table == {"one": First}
    with pytest.raises(SpecError, match=r"^type name 'one' is taken by First$"):

        @registered(table)
        class Second(Spec):
            type_name: ClassVar[str] = "one"

    assert table == {"one": First}
