"""A document beside a snapshot: a frozen value as sealed JSON, which says of which deploy id it is."""

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from flagsnap.sealed import damaged, seal, unseal


class Document(BaseModel):
    """What all of them have; `TITLE` is what one is called, `FORMAT` the newest that is known here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    TITLE: ClassVar[str]
    FORMAT: ClassVar[int] = 1

    format: int = 1
    deploy_id: str

    def to_json(self) -> bytes:
        """The bytes to store."""
        return seal(self.model_dump(mode="json"))

    @classmethod
    def read(cls, raw: bytes, deploy_id: str) -> Self:
        """Read that of `deploy_id`; SnapshotDamaged if it is not whole, or of a format that is not known here."""
        what = f"the {cls.TITLE} of {deploy_id}"
        try:
            document = cls.model_validate(unseal(raw, what, cls.FORMAT))
            document.require_whole()
        except (ValidationError, ValueError) as error:
            raise damaged(what, str(error).splitlines()[0]) from error
        if document.deploy_id != deploy_id:
            raise damaged(what, f"it is the {cls.TITLE} of {document.deploy_id}")
        return document

    def require_whole(self) -> None:
        """ValueError for what the types of the fields cannot tell."""
