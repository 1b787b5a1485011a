"""A progress bar for the terminal and for notebooks, where it is one line that is rewritten in place.

tqdm's own notebook bar is a widget, which leaves nothing readable in a stored notebook; this one leaves its last state.
"""

import io

from tqdm import tqdm


class _NotebookBar(tqdm):
    """tqdm that draws itself by updating one display of the running cell."""

    def __init__(self, *args, **kwargs):
        self.handle = None
        super().__init__(*args, file=io.StringIO(), ascii=False, **kwargs)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the bar's state; called by tqdm."""
        from IPython.display import display

        data = {"text/plain": msg if msg is not None else str(self)}
        if self.handle is None:
            self.handle = display(data, raw=True, display_id=True)
        else:
            self.handle.update(data, raw=True)


def progress_bar(total: int, label: str, done: int = 0, shown: bool = True) -> tqdm:
    """A bar over `total` iterations, `done` of them before now; not `shown`, it does nothing.

    Call `update()` after each, `set_postfix(loss=...)` to show a value. It is redrawn twice a second at the
    most. Use it in a `with` statement.
    """
    settings = {"total": total, "desc": label, "initial": done, "mininterval": 0.5, "dynamic_ncols": False}
    settings["disable"] = not shown
    return _NotebookBar(**settings, ncols=80) if _in_notebook() else tqdm(**settings)


def _in_notebook() -> bool:
    try:
        return get_ipython().__class__.__name__ == "ZMQInteractiveShell"
    except NameError:
        return False
