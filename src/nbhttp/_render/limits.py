"""How much a view may show."""

from dataclasses import dataclass, fields

from nbhttp._render.options import Settings

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds for one rendering.

    Attributes:
        depth: Levels of a tree.
        items: Items of a list in a tree.
        keys: Keys of an object in a tree.
        nodes: Places in a tree.
        rows: Rows of a table.
        columns: Columns of a table.
        string: Characters of a value in a tree, a cell or a field.
        characters: Characters of a text.
        lines: Lines of a text.
        fields: Header fields of one message, attempts, redirections.
    """

    depth: int
    items: int
    keys: int
    nodes: int
    rows: int
    columns: int
    string: int
    characters: int
    lines: int
    fields: int

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Return the bounds that the display settings ask for."""
        return cls(
            depth=settings.depth,
            items=settings.rows,
            keys=40,
            nodes=240,
            rows=settings.rows,
            columns=12,
            string=max(20, settings.characters // 10),
            characters=settings.characters,
            lines=80,
            fields=40,
        )

    def scaled(self, factor: float) -> "Limits":
        """Return these bounds times `factor`, each at least 1."""
        if factor == 1:
            return self
        bounds = {field.name: getattr(self, field.name) for field in fields(self)}
        return Limits(**{name: max(1, int(bound * factor)) for name, bound in bounds.items()})
