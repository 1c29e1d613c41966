"""A second cluster that comes, changes and goes by reloads; the first one stays."""

guest = "guest"
clusters = ["here", "here", guest]  # of which jobs name one
present = 0.6


class with_guest:
    """A site whose `configuration(visited)` has the guest or not. Its figures differ each time, so
    that a reload that finds it there opens it anew."""

    def reloaded(self):
        """What the next reload finds."""
        return self.configuration(self.draw.random() < present)
