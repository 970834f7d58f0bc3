"""What every peer is."""
import hosts


class Peer:
    name = ""
    title = ""
    exact = False  # keeps everything that repl keeps: judged to the nanosecond, with links, ACLs and attributes
    ssh = False  # needs an sshd on host B
    live = True  # notices changes by itself; else work_done() is when it runs
    busy = False  # works on even when nothing changes: its cost is counted until the arrival, not until quiet
    patience_s = 2  # between two looks of the judge
    limit_s = None  # less patience with its changes than the work has
    overlap_s = None  # lone changes do not wait for one another but come this often (their delay would take hours)

    def __init__(self):
        self.processes = []
        self.compress = False  # the link is slow
        self.child_cpu_s = {"A": 0.0}  # of processes that have ended and that no live process has waited for

    def start(self):
        """Brings the trees together and watches."""

    def work_done(self, limit_s):
        """The writer has ended."""

    def quiet(self):
        """Returns when the program believes that everything has arrived."""

    def stop(self):
        """Ends all that it started."""

    def require_alive(self):
        for process in self.processes:
            if process.poll() is not None:
                raise hosts.Void(f"ended by itself, status {process.returncode}: {hosts.command_of(process)}")

    def version(self):
        return ""
