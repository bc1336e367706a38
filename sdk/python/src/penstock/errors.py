class PenstockError(Exception):
    """What the server refused, or why it could not be asked: `code` as the server names it, and each fault by its field."""

    def __init__(self, code: str, message: str, violations: list[dict] | None = None, status: int = 0):
        self.code = code
        self.message = message
        self.violations = violations or []
        self.status = status
        lines = [f"{one.get('field', '')} {one.get('problem', '')}" for one in self.violations]
        super().__init__("\n  ".join([message, *(line for line in lines if line != message)]))
