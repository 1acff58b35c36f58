"""The kinds of personal data and secrets to look for, and the treatment of each."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from tasks.stage.settings import Section

Kind = Literal["email", "private_key", "jwt", "access_token", "iban", "credit_card", "ipv6", "ipv4", "us_ssn", "phone"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order of reports, and of preference where two begin at the same position."""

Placeholder = Annotated[str, Field(pattern=r"^(<[A-Za-z_| -]{1,16}>|\[[A-Za-z_| -]{1,16}\]|\{[A-Za-z_| -]{1,16}\})$")]
"""A name in angle, square or curly brackets. A placeholder never matches itself: only header lines of private keys may
contain such brackets, and no match is this short without a digit, dot or colon."""

Special = Literal["private", "loopback", "link_local", "documentation", "reserved"]
SPECIAL: tuple[Special, ...] = get_args(Special)


class Treatment(Section):
    """Treatment of one kind."""

    action: Literal["replace", "drop", "keep"] = "replace"
    """`replace` matches with the placeholder; `drop` documents with more than `threshold` matches, and replace matches
    in all others; `keep` them unchanged. Matches are always counted. Dropped documents get placeholders too, so the
    rejected texts do not contain them."""
    placeholder: Placeholder | None = None
    """Replacement text; null means the name of the kind: `<EMAIL>`."""
    threshold: Annotated[int, Field(ge=0)] = 0
    """With `drop`: how many matches a document may have."""

    @model_validator(mode="after")
    def _threshold_of_a_drop(self) -> Self:
        if self.threshold and self.action != "drop":
            raise ValueError(f"threshold {self.threshold} has no effect with action {self.action}; set action: drop")
        return self


class PrivacySettings(Section):
    """Personal data and secrets, with a treatment for each kind. Digits of all scripts and full-width forms count as
    ASCII."""

    email: Treatment = Treatment()
    """Addresses under a top-level domain of the root zone, in any script. Before the @, letters are of any script with
    spaces between words. Remotes such as `git@github.com:user/repo.git` are not addresses."""
    private_key: Treatment = Treatment()
    """PEM and PGP private key blocks, from BEGIN to END, or to the last line of base64 if truncated."""
    jwt: Treatment = Treatment()
    """Signed JSON Web Tokens (RFC 7519)."""
    access_token: Treatment = Treatment()
    """Keys and tokens of well-known services with a distinctive prefix or format."""
    iban: Treatment = Treatment()
    """International bank account numbers with their country's length and a valid checksum (ISO 13616)."""
    credit_card: Treatment = Treatment()
    """Card numbers with an issuer's prefix and length and a valid checksum (ISO/IEC 7812)."""
    ipv6: Treatment = Treatment()
    """Addresses in allocated blocks, by the IANA registries."""
    ipv4: Treatment = Treatment()
    """Dotted addresses that are not version numbers."""
    special_addresses: tuple[Special, ...] = ()
    """IP ranges to find in addition to public addresses: `private` networks, `loopback`, `link_local`, `documentation`,
    and `reserved` (multicast, netmasks, benchmarks and the like)."""
    us_ssn: Treatment = Treatment()
    """US social security numbers of assigned areas, written in three groups."""
    phone: Treatment = Treatment()
    """Numbers with a country code, and national numbers in common groupings."""

    def treatment(self, kind: Kind) -> Treatment:
        """The treatment of a kind."""
        found: Treatment = getattr(self, kind)
        return found

    def placeholder(self, kind: Kind) -> str | None:
        """The replacement for a kind; None if it is kept."""
        treatment = self.treatment(kind)
        return None if treatment.action == "keep" else treatment.placeholder or f"<{kind.upper()}>"
