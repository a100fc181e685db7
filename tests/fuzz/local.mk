# A target is tests/fuzz/fuzz_NAME.c with LLVMFuzzerTestOneInput; its inputs
# are the files of tests/fuzz/corpus/fuzz_NAME/. Two lines each:
#
#	fuzz_targets += tests/fuzz/fuzz_NAME
#	tests_fuzz_fuzz_NAME_SOURCES = tests/fuzz/fuzz_NAME.c $(FUZZ_MAIN)
#
# With --enable-fuzz libFuzzer is the main program, else replay.c is and runs
# the files or folders that it is given, once each.
fuzz_targets =

if ENABLE_FUZZ
FUZZ_MAIN =
else
FUZZ_MAIN = tests/fuzz/replay.c
endif

# libFuzzer's main only where a fuzz target is linked.
FUZZ_LINK = $(CC) $(AM_CFLAGS) $(CFLAGS) $(AM_LDFLAGS) $(LDFLAGS) \
	$(FUZZ_LDFLAGS) -o $@

EXTRA_PROGRAMS += $(fuzz_targets)
CLEANFILES += $(fuzz_targets)
EXTRA_DIST += tests/fuzz/replay.c

fuzz: $(fuzz_targets)

.PHONY: fuzz
