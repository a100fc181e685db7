noinst_LIBRARIES += ports/libports.a
ports_libports_a_SOURCES =
