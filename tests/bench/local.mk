# A line a program: bench_programs += tests/bench/NAME (from NAME.c).
bench_programs += tests/bench/relay tests/bench/frames
# Nothing of the switch is in them.
tests_bench_relay_LDADD =
tests_bench_frames_LDADD =
EXTRA_DIST += tests/bench/run tests/bench/stage.py tests/bench/contestants.py
bench_programs += tests/bench/fdb_bench
