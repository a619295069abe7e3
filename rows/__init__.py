"""Where rows are read and written: SQLite files or PostgreSQL, the same code for both.

The rules:

1. This package alone asks which database it is; others say `is_sqlite` where there is one writer.
2. Reads run in AUTOCOMMIT (`reading`), writes in one transaction (`transaction`), or, where one statement is all of it,
   in `single`.
3. A statement that a call needs is made once, at the module's end, with every value a `bindparam` (`Prepared`), and
   says of which class its rows are. What is put together anew each time (a list's filters) goes through SQLAlchemy.
4. What is written is data first (`Change`), and a transaction makes it: on PostgreSQL several are one statement.
   *A participle returns a change, an imperative makes it:* `inserted(...)` and `updated(...)` touch nothing;
   `insert(tx, ...)`, `update_row(tx, ...)` and `write(tx, ...)` do.
5. Every statement names the tenant. `for_tenant` binds an engine to one, and PostgreSQL then shows it no other's rows.
6. Moments come from the database's clock where two processes compare them (`database_clock`).

A worked example, a table's whole life in a room:

    @dataclass(frozen=True, slots=True)
    class NoteRow:
        note_id: str
        text: str

    def add(records: Engine, tenant: str, note: str, text: str) -> None:
        with transaction(records) as tx:
            insert(tx, notes, {"tenant_id": tenant, "note_id": note, "text": text})

    def find(records: Engine, tenant: str, note: str) -> NoteRow | None:
        with reading(records) as connection:
            return _ONE.one_or_none(connection, {"of_tenant": tenant, "of_note": note})

    _ONE = Prepared(select(notes.c.note_id, notes.c.text).where(given(notes, "note_id")), NoteRow)

What leans on the insides of libraries, as read in SQLAlchemy 2.1.9 and psycopg 3.3.9, and tested against what is locked
(`tests/rows/test_prepared.py`, `tests/vault/test_database_hangs.py`, `tests/api/test_rows_apart.py`):

- `prepared`: `Compiled.construct_expanded_state`, `bind_names`, types' `bind_processor` and `result_processor`, events'
  `dispatch`; psycopg's `RawCursor`.
- `tenants`: `Select._where_criteria` and the `_limit_clause`, `_offset_clause`, `_fetch_clause` beside it.
- `answered_in_time`: psycopg's `Connection.wait` and `errors._WaitTimeout`.
"""
