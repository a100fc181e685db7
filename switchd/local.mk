noinst_LIBRARIES += switchd/libswitchd.a
switchd_libswitchd_a_SOURCES =
