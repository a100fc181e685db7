noinst_LIBRARIES += base/libbase.a
base_libbase_a_SOURCES = \
	base/clock.h \
	base/counters.h \
	base/crc32c.c base/crc32c.h \
	base/epoch.c base/epoch.h \
	base/error.c base/error.h \
	base/fds.c base/fds.h \
	base/ids.c base/ids.h \
	base/isolation.c base/isolation.h \
	base/log.c base/log.h \
	base/mac.h \
	base/memfd.c base/memfd.h \
	base/rights.c base/rights.h
