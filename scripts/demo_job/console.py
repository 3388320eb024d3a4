"""What the demo says while it goes on."""

from rich.console import Console

CONSOLE = Console(highlight=False, soft_wrap=True)


def title(text: str) -> None:
    """A step's heading."""
    CONSOLE.print(f"\n== {text}", style="bold", markup=False)


def say(text: str) -> None:
    """One line; nothing in it is taken for markup."""
    CONSOLE.print(f"   {text}", markup=False)
