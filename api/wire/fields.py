"""Fields that many schemas share: our ids, moments, amounts, metadata, the card, the contact."""

from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate

from vault.cursors import MOST
from vault.ids import is_id, pattern

LARGEST_AMOUNT = 99_999_999_999
METADATA_KEYS, METADATA_KEY, METADATA_VALUE = 25, 50, 500


class Strict(Schema):
    """A schema that refuses unknown fields (marshmallow's default, said here once)."""

    class Meta:
        """Keep the order of declaration: it is the order in the reference."""

        unknown = "raise"


class Lenient(Schema):
    """A schema of a protocol that others extend: what it does not know, it leaves out, and never repeats."""

    class Meta:
        """Keep the order of declaration, as above."""

        unknown = "exclude"


class Flag(fields.Boolean):
    """A JSON boolean. Marshmallow's own takes 0 and 1 too, which Python holds equal to False and True."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:  # noqa: ANN401, ARG002  # marshmallow's
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Whole(validate.Regexp):
    """A pattern for all of a value: marshmallow's own lets a last line break pass behind `$`.

    It begins with `^` and ends with `$` all the same, for readers of the OpenAPI document.
    """

    def __call__(self, value: Any) -> Any:  # noqa: ANN401  # marshmallow's
        """The value. Raises ValidationError."""
        if self.regex.fullmatch(value) is None:
            raise ValidationError(self._format_error(value))
        return value


class Ident(fields.String):
    """One of our ids, of one kind."""

    def __init__(self, prefix: str, **kwargs: Any) -> None:  # noqa: ANN401  # marshmallow's own arguments
        """Take the prefix that says the kind."""
        super().__init__(**kwargs, metadata={"pattern": pattern(prefix)})
        self.prefix = prefix

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:  # noqa: ANN401  # marshmallow's
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if not is_id(text, self.prefix):
            raise ValidationError(f"Not an id of this kind: it begins with {self.prefix}_ and is given out by Panless.")
        return text


class Moment(fields.AwareDateTime):
    """RFC 3339, with its offset; what is answered is in UTC, to the second."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:  # noqa: ANN401  # marshmallow's
        """A moment in UTC, which has none before the year 1 and none after 9999."""
        try:
            return super()._deserialize(value, attr, data, **kwargs).astimezone(UTC)
        except OverflowError:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from None

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:  # noqa: ANN401, ARG002  # marshmallow's
        return None if value is None else moment(value)


def moment(value: datetime) -> str:
    """RFC 3339, UTC, to the second."""
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def text(most: int, *, least: int = 1, **kwargs: Any) -> fields.String:  # noqa: ANN401  # marshmallow's own arguments
    """A string of `least` to `most` characters."""
    return fields.String(validate=validate.Length(min=least, max=most), **kwargs)


def name(**kwargs: Any) -> fields.String:  # noqa: ANN401  # marshmallow's own arguments
    """What the tenant calls something of its own: a customer's reference, an obligation. Blanks alone name nothing."""
    return fields.String(
        validate=[validate.Length(min=1, max=200), _not_blank],
        **kwargs,
    )


def _not_blank(value: str) -> None:
    if not value.strip():
        raise ValidationError("Not blanks alone.")


def amount(**kwargs: Any) -> fields.Integer:  # noqa: ANN401  # marshmallow's own arguments
    """Money in minor units: a JSON integer, above 0."""
    return fields.Integer(strict=True, validate=validate.Range(min=1, max=LARGEST_AMOUNT), **kwargs)


def whole(least: int, most: int, **kwargs: Any) -> fields.Integer:  # noqa: ANN401  # marshmallow's own arguments
    """A JSON integer from `least` to `most`."""
    return fields.Integer(strict=True, validate=validate.Range(min=least, max=most), **kwargs)


def currency(**kwargs: Any) -> fields.String:  # noqa: ANN401  # marshmallow's own arguments
    """An ISO 4217 code, lower-case."""
    return fields.String(validate=Whole(r"^[a-z]{3}$", error="Use an ISO 4217 code in lower case."), **kwargs)


def one_of(*choices: str, **kwargs: Any) -> fields.String:  # noqa: ANN401  # marshmallow's own arguments
    """One of some codes."""
    return fields.String(validate=validate.OneOf(choices), **kwargs)


def metadata() -> fields.Dict:
    """The client's own notes: few, short, strings. Sealed like all that is about a person."""
    return fields.Dict(
        keys=fields.String(validate=validate.Length(min=1, max=METADATA_KEY)),
        values=fields.String(validate=validate.Length(max=METADATA_VALUE)),
        validate=_few,  # apispec would call marshmallow's Length of an object a string's
        load_default=dict,
        metadata={"maxProperties": METADATA_KEYS, "propertyNames": {"minLength": 1, "maxLength": METADATA_KEY}},
    )


def _few(notes: dict[str, str]) -> None:
    if len(notes) > METADATA_KEYS:
        raise ValidationError(f"At most {METADATA_KEYS} notes.")


class Address(Strict):
    """A postal address."""

    line1 = text(200)
    line2 = text(200)
    city = text(100)
    state = text(100)
    postal_code = text(20)
    country = fields.String(validate=Whole(r"^[A-Z]{2}$", error="Use an ISO 3166 code of two capitals."))


class ContactFields(Strict):
    """A billing contact as clients send and read it."""

    name = text(200, allow_none=True)
    email = fields.Email(validate=validate.Length(max=254), allow_none=True)
    phone = fields.String(
        validate=Whole(r"^[+0-9 ().\-/]{3,40}$", error="Use digits, spaces and + ( ) . - / only."),
        allow_none=True,
    )
    address = fields.Nested(Address, allow_none=True)

    @post_load
    def _no_address(self, data: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:  # noqa: ANN401  # marshmallow's
        """An address that is taken away is an empty one."""
        return {**data, "address": data["address"] or {}} if "address" in data else data


class CardShown(Schema):
    """What clients may see of a card."""

    brand = fields.String()
    last4 = fields.String()
    exp_month = fields.Integer()
    exp_year = fields.Integer()
    funding = fields.String(allow_none=True)
    country = fields.String(allow_none=True)


class Count(fields.Integer):
    """A whole number as a query writes it: ASCII digits, and nothing else that Python's `int` would take."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # marshmallow's
        if not (isinstance(value, str) and value.isascii() and value.isdigit()):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class PageOf(Strict):
    """Which page of a list."""

    limit = Count(validate=validate.Range(min=1, max=MOST), load_default=20)
    cursor = text(200)


class FieldProblem(Schema):
    """What is wrong with one field."""

    field = fields.String()
    message = fields.String()


class ProblemShown(Schema):
    """Problem details (RFC 9457). What else stands there depends on `code`: ids, reasons."""

    class Meta:
        """Others than these are there too."""

        unknown = "include"

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True)
    doc = fields.String(required=True)
    errors = fields.List(fields.Nested(FieldProblem))


def of_type(value: str) -> fields.Constant[str]:
    """The `object` field of an answer."""
    return fields.Constant(value, dump_only=True, metadata={"type": "string", "enum": [value]})
