"""The works, in the order in which they run."""
from works import append, directory, git, large, latency, restart, storm

_ALL = (latency.Latency, storm.Storm, large.Edits, large.Insert, append.Append, directory.Rename, directory.Delete,
        restart.Restart, storm.Text, storm.Far, git.Git)
ALL = {work.name: work for work in _ALL}
