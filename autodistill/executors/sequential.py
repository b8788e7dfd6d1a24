"""The executor that runs one job after the other in this process."""

from __future__ import annotations

from autodistill.components.outcome import ExecutorContext, Job, JobResult


class SequentialExecutor:
    """Runs a job when it is waited for, so that a study is reproducible and an interrupt reaches the job.

    Args:
        context: how a job is run.
    """

    capacity = 1

    def __init__(self, context: ExecutorContext) -> None:
        self._work = context.work
        self._job: Job | None = None

    def submit(self, job: Job) -> None:
        """Keep the job until `wait`.

        Raises:
            RuntimeError: a job is under way already.
        """
        if self._job is not None:
            raise RuntimeError(f"The sequential executor runs one job at a time and has {self._job} already.")
        self._job = job

    def wait(self) -> JobResult:
        """Run the job and return its result.

        Raises:
            RuntimeError: no job was submitted.
        """
        if self._job is None:
            raise RuntimeError("The sequential executor has no job to wait for.")
        job, self._job = self._job, None
        return self._work(job)

    def close(self) -> None:
        """Forget a job that was submitted and not run."""
        self._job = None
