# A line a program: bench_programs += tests/bench/NAME (from NAME.c).
bench_programs += tests/bench/relay tests/bench/frames
# Nothing of the switch is in them.
tests_bench_relay_SOURCES = tests/bench/relay.c $(bench_tool)
tests_bench_relay_LDADD =
tests_bench_frames_SOURCES = tests/bench/frames.c $(bench_tool)
tests_bench_frames_LDADD =
bench_programs += tests/bench/holders
tests_bench_holders_SOURCES = tests/bench/holders.c \
	tests/bench/guest_frame.c tests/bench/guest_frame.h $(bench_tool)
tests_bench_holders_LDADD =
bench_programs += tests/bench/flood
tests_bench_flood_SOURCES = tests/bench/flood.c $(bench_tool)
tests_bench_flood_LDADD =
bench_tool = tests/bench/tool.c tests/bench/tool.h
EXTRA_DIST += tests/bench/run tests/bench/stage.py tests/bench/contestants.py
bench_programs += tests/bench/fdb_bench
