noinst_LIBRARIES += fdb/libfdb.a
fdb_libfdb_a_SOURCES = \
	fdb/events.c \
	fdb/fdb.c fdb/fdb.h \
	fdb/layout.h \
	fdb/learn.c \
	fdb/lookup.h \
	fdb/many.c \
	fdb/sweep.c \
	fdb/table.h
