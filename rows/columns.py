"""Column types of the records, which both databases keep alike."""

from sqlalchemy import LargeBinary, String

Id = String(40)
Word = String(40)
Sealed = LargeBinary
Digest = LargeBinary
