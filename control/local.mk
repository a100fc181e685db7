noinst_LIBRARIES += control/libcontrol.a
control_libcontrol_a_SOURCES =
