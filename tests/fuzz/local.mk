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

fuzz_targets += tests/fuzz/fuzz_address
tests_fuzz_fuzz_address_SOURCES = tests/fuzz/fuzz_address.c $(FUZZ_MAIN)
tests_fuzz_fuzz_address_LDFLAGS = $(FUZZ_FLAGS)
EXTRA_DIST += tests/fuzz/corpus/fuzz_address

fuzz_targets += tests/fuzz/fuzz_slirp_fragments
tests_fuzz_fuzz_slirp_fragments_SOURCES = tests/fuzz/fuzz_slirp_fragments.c \
	$(FUZZ_MAIN)
tests_fuzz_fuzz_slirp_fragments_LDFLAGS = $(FUZZ_FLAGS)
EXTRA_DIST += tests/fuzz/corpus/fuzz_slirp_fragments

fuzz_targets += tests/fuzz/fuzz_stream_link
tests_fuzz_fuzz_stream_link_SOURCES = tests/fuzz/fuzz_stream_link.c \
	$(FUZZ_MAIN)
tests_fuzz_fuzz_stream_link_LDFLAGS = $(FUZZ_FLAGS)
EXTRA_DIST += tests/fuzz/corpus/fuzz_stream_link

fuzz_targets += tests/fuzz/fuzz_vde_request
tests_fuzz_fuzz_vde_request_SOURCES = tests/fuzz/fuzz_vde_request.c \
	$(FUZZ_MAIN)
tests_fuzz_fuzz_vde_request_LDFLAGS = $(FUZZ_FLAGS)
EXTRA_DIST += tests/fuzz/corpus/fuzz_vde_request

# Where switchd-libvirt is built.
if HAVE_LIBVIRT
fuzz_targets += tests/fuzz/fuzz_domain_xml
endif
tests_fuzz_fuzz_domain_xml_SOURCES = tests/fuzz/fuzz_domain_xml.c $(FUZZ_MAIN)
tests_fuzz_fuzz_domain_xml_LDADD = $(LIBVIRT_LDADD)
tests_fuzz_fuzz_domain_xml_LDFLAGS = $(FUZZ_FLAGS)
EXTRA_DIST += tests/fuzz/corpus/fuzz_domain_xml

# The ring's own sources once more, with a hook after each load.
fuzz_targets += tests/fuzz/fuzz_vhost_ring
tests_fuzz_fuzz_vhost_ring_SOURCES = tests/fuzz/fuzz_vhost_ring.c \
	tests/fuzz/vhost_hook.h ports/vhost_ring.c ports/vhost_split.c \
	ports/vhost_packed.c $(FUZZ_MAIN)
tests_fuzz_fuzz_vhost_ring_CPPFLAGS = $(AM_CPPFLAGS) \
	-include $(srcdir)/tests/fuzz/vhost_hook.h
tests_fuzz_fuzz_vhost_ring_LDFLAGS = $(FUZZ_FLAGS)
EXTRA_DIST += tests/fuzz/corpus/fuzz_vhost_ring
