"""Random search: uniform over the feasible architectures that have not been proposed.

The yardstick of every other strategy. What may be proposed is decided in `autodistill.search.candidates`.
"""

from __future__ import annotations

from autodistill.components.search import History, Proposal, SearchContext
from autodistill.search.candidates import Candidates, generator


class RandomSearch:
    """Draws without replacement from the feasible architectures.

    Args:
        context: space, constraints, known metrics and seed.
    """

    def __init__(self, context: SearchContext) -> None:
        self.context = context
        self.candidates = Candidates(context)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """Up to ``n`` architectures, each as likely as any other.

        Raises:
            SpaceExhaustedError: none is left.
        """
        drawn = self.candidates.draw(history, n, generator(self.context, history))
        return [Proposal(architecture) for architecture in drawn]
