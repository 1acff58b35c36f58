"""Which personal data and secrets are looked for, and what becomes of each kind."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from tasks.stage.settings import Section

Kind = Literal[
    "email",
    "private_key",
    "jwt",
    "access_token",
    "iban",
    "credit_card",
    "ipv6",
    "ipv4",
    "us_ssn",
    "phone",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which they are reported, and preferred where two begin at the same place."""

Placeholder = Annotated[str, Field(pattern=r"^(<[A-Za-z_| -]{1,16}>|\[[A-Za-z_| -]{1,16}\]|\{[A-Za-z_| -]{1,16}\})$")]
"""A name in angle, square or curly brackets. Only the header lines of a private key may have such brackets in what is
found, and nothing that is found is so short and without a digit, dot or colon: a placeholder is never taken for
something to replace."""

Special = Literal["private", "loopback", "link_local", "documentation", "reserved"]
SPECIAL: tuple[Special, ...] = get_args(Special)


class Treatment(Section):
    """What becomes of one kind."""

    action: Literal["replace", "drop", "keep"] = "replace"
    """`replace` by the placeholder; `drop` the documents with more than `threshold` of them, and replace them in the
    others; `keep` them as they are. They are counted in any case. What is dropped has placeholders as well, so that
    nothing of it stands among the rejected."""
    placeholder: Placeholder | None = None
    """What stands in its place; null is the name of the kind: `<EMAIL>`."""
    threshold: Annotated[int, Field(ge=0)] = 0
    """Of `drop`: so many in a document are still allowed."""

    @model_validator(mode="after")
    def _threshold_of_a_drop(self) -> Self:
        if self.threshold and self.action != "drop":
            raise ValueError(f"threshold {self.threshold} says nothing where the action is {self.action}")
        return self


class PrivacySettings(Section):
    """Personal data and secrets, a treatment for each kind."""

    email: Treatment = Treatment()
    """Addresses whose domain, of any script, ends in a top-level domain of the root zone. What is before the @ has
    letters of ASCII and of Latin with diacritics."""
    private_key: Treatment = Treatment()
    """PEM and PGP blocks of private keys, from BEGIN to END, or to the last line of base64 where they are cut off."""
    jwt: Treatment = Treatment()
    """Signed JSON Web Tokens (RFC 7519)."""
    access_token: Treatment = Treatment()
    """Keys and tokens of well-known services, which begin with a prefix of their own or are of an unmistakable form."""
    iban: Treatment = Treatment()
    """International bank account numbers of the length of their country, with a valid checksum (ISO 13616)."""
    credit_card: Treatment = Treatment()
    """Card numbers with a prefix and a length of their issuer and a valid checksum (ISO/IEC 7812)."""
    ipv6: Treatment = Treatment()
    """Addresses in use, by the registries of IANA."""
    ipv4: Treatment = Treatment()
    """Addresses of four numbers that are not a version."""
    special_addresses: tuple[Special, ...] = ()
    """IP addresses are found where they are public. These are as well, if named here: `private` networks, `loopback`,
    `link_local`, `documentation`, and `reserved` (multicast, netmasks, benchmarks and the like)."""
    us_ssn: Treatment = Treatment()
    """Social security numbers of the United States, of areas that are assigned, written in three groups."""
    phone: Treatment = Treatment()
    """Numbers with a country code, and national ones in the groups in which they are commonly written."""

    def treatment(self, kind: Kind) -> Treatment:
        """What becomes of a kind."""
        found: Treatment = getattr(self, kind)
        return found

    def placeholder(self, kind: Kind) -> str | None:
        """What is written in its place; None where it stays."""
        treatment = self.treatment(kind)
        return None if treatment.action == "keep" else treatment.placeholder or f"<{kind.upper()}>"
