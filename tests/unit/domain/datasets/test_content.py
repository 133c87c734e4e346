"""The content hash says the same of the same content only."""

from __future__ import annotations

from microservo.domain.datasets.content import ContentHash, Part, dataset_hash


def hash_of(*blocks: tuple[int, list[Part]]) -> str:
    content = ContentHash()
    for rows, parts in blocks:
        content.add_block(rows, parts)
    return content.hexdigest()


def test_the_same_parts_give_the_same_hash() -> None:
    block = (2, [Part("a", "text", b"xy")])
    assert hash_of(block, block) == hash_of(block, block)


def test_bytes_can_not_move_between_columns_unnoticed() -> None:
    one = (1, [Part("a", "text", b"xy"), Part("b", "text", b"z")])
    other = (1, [Part("a", "text", b"x"), Part("b", "text", b"yz")])
    assert hash_of(one) != hash_of(other)


def test_the_name_and_the_kind_of_a_column_count() -> None:
    base = hash_of((1, [Part("a", "int64", b"12345678")]))
    assert base != hash_of((1, [Part("b", "int64", b"12345678")]))
    assert base != hash_of((1, [Part("a", "double", b"12345678")]))


def test_rows_are_counted() -> None:
    content = ContentHash()
    content.add_block(3, [])
    content.add_block(2, [])
    assert content.rows == 5


def test_the_order_in_which_files_are_named_does_not_matter() -> None:
    assert dataset_hash({"a": "1", "b": "2"}) == dataset_hash({"b": "2", "a": "1"})
    assert dataset_hash({"a": "1", "b": "2"}) != dataset_hash({"a": "2", "b": "1"})
