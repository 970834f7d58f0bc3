#!/usr/bin/env bash
# The benchmark against others: a program that leaves one byte wrong, never finishes or hangs must come out void, and
# repl, rsync and the floor must count.
exec "$(dirname "$0")/../../bench/run" --self-check
