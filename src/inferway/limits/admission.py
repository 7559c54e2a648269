"""Admission without limits: every caller gets a ticket."""


class OpenTicket:
    """A ticket that nothing was reserved for."""

    async def release(self, *, tokens: int, cost_microusd: int | None) -> None:
        """Nothing was taken, so nothing is given back."""


_TICKET = OpenTicket()


class OpenAdmission:
    """Admits every call that has come through the gate."""

    async def admit(self, *, organization_id: str, namespace_id: str, key_id: str) -> OpenTicket:
        """A ticket, at once."""
        del organization_id, namespace_id, key_id
        return _TICKET
