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
bench_programs += tests/bench/plugs
tests_bench_plugs_SOURCES = tests/bench/plugs.c
tests_bench_plugs_LDADD =
bench_programs += tests/bench/flood
tests_bench_flood_SOURCES = tests/bench/flood.c $(bench_tool)
tests_bench_flood_LDADD =
bench_tool = tests/bench/tool.c tests/bench/tool.h
EXTRA_DIST += tests/bench/run \
	tests/bench/console.py tests/bench/contestants.py \
	tests/bench/flood.py tests/bench/guests.py tests/bench/holders.py \
	tests/bench/hugepages.py tests/bench/nat.py tests/bench/report.py \
	tests/bench/scale.py tests/bench/stage.py \
	tests/bench/stream.py \
	tests/bench/subject.py tests/bench/tables.py \
	tests/bench/testpmd.py tests/bench/vde.py tests/bench/vhost.py \
	tests/bench/workers.py

# The forwarding database, and beside it what of its peers is installed.
bench_programs += tests/bench/fdb
tests_bench_fdb_SOURCES = tests/bench/fdb.c tests/bench/tables.h \
	tests/bench/table_fdb.c tests/bench/table_glib.c \
	tests/bench/table_liburcu.c tests/bench/table_uthash.c
tests_bench_fdb_CPPFLAGS = $(AM_CPPFLAGS) $(GLIB_CFLAGS) $(LIBURCU_CFLAGS)
tests_bench_fdb_LDADD = fdb/libfdb.a base/libbase.a $(GLIB_LIBS) \
	$(LIBURCU_LIBS)
if HAVE_UTHASH
tests_bench_fdb_CPPFLAGS += -DHAVE_UTHASH
endif
if HAVE_GLIB
tests_bench_fdb_CPPFLAGS += -DHAVE_GLIB
endif
if HAVE_LIBURCU
tests_bench_fdb_CPPFLAGS += -DHAVE_LIBURCU
endif
