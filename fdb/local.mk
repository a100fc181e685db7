noinst_LIBRARIES += fdb/libfdb.a
fdb_libfdb_a_SOURCES =
