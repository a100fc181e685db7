# A target is tests/fuzz/fuzz_NAME.c with LLVMFuzzerTestOneInput; its inputs
# are the files of tests/fuzz/corpus/fuzz_NAME/. For each:
#
#	fuzz_targets += tests/fuzz/fuzz_NAME
#	tests_fuzz_fuzz_NAME_SOURCES = tests/fuzz/fuzz_NAME.c $(FUZZ_MAIN)
#	tests_fuzz_fuzz_NAME_LDFLAGS = $(FUZZ_FLAGS)
#	EXTRA_DIST += tests/fuzz/corpus/fuzz_NAME
#
# With --enable-fuzz libFuzzer is the main program, else replay.c is and runs
# the files or folders that it is given, once each.
fuzz_targets =
FUZZ_FLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)

if ENABLE_FUZZ
FUZZ_MAIN =
else
FUZZ_MAIN = tests/fuzz/replay.c
endif

EXTRA_PROGRAMS += $(fuzz_targets)
CLEANFILES += $(fuzz_targets)
EXTRA_DIST += tests/fuzz/replay.c

fuzz: $(fuzz_targets)

.PHONY: fuzz

fuzz_targets += tests/fuzz/fuzz_offload
tests_fuzz_fuzz_offload_SOURCES = tests/fuzz/fuzz_offload.c $(FUZZ_MAIN)
tests_fuzz_fuzz_offload_LDFLAGS = $(FUZZ_FLAGS)
EXTRA_DIST += tests/fuzz/corpus/fuzz_offload

fuzz_targets += tests/fuzz/fuzz_frame
tests_fuzz_fuzz_frame_SOURCES = tests/fuzz/fuzz_frame.c $(SIM) $(FUZZ_MAIN)
tests_fuzz_fuzz_frame_LDFLAGS = $(FUZZ_FLAGS)
EXTRA_DIST += tests/fuzz/corpus/fuzz_frame

fuzz_targets += tests/fuzz/fuzz_journal
tests_fuzz_fuzz_journal_SOURCES = tests/fuzz/fuzz_journal.c $(FUZZ_MAIN)
tests_fuzz_fuzz_journal_LDFLAGS = $(FUZZ_FLAGS)
EXTRA_DIST += tests/fuzz/corpus/fuzz_journal

fuzz_targets += tests/fuzz/fuzz_monitor
tests_fuzz_fuzz_monitor_SOURCES = tests/fuzz/fuzz_monitor.c $(FUZZ_MAIN)
tests_fuzz_fuzz_monitor_LDFLAGS = $(FUZZ_FLAGS)
EXTRA_DIST += tests/fuzz/corpus/fuzz_monitor

# The ring's own sources once more, with a hook after each load.
fuzz_targets += tests/fuzz/fuzz_vhost_ring
tests_fuzz_fuzz_vhost_ring_SOURCES = tests/fuzz/fuzz_vhost_ring.c \
	tests/fuzz/vhost_hook.h ports/vhost_ring.c ports/vhost_split.c \
	ports/vhost_packed.c $(FUZZ_MAIN)
tests_fuzz_fuzz_vhost_ring_CPPFLAGS = $(AM_CPPFLAGS) \
	-include $(srcdir)/tests/fuzz/vhost_hook.h
tests_fuzz_fuzz_vhost_ring_LDFLAGS = $(FUZZ_FLAGS)
EXTRA_DIST += tests/fuzz/corpus/fuzz_vhost_ring
