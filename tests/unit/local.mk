# A line a program, in the order of the folders. Each is built from the file of
# its name and linked with everything ($(LDADD)).
unit_tests += tests/unit/test_epoch
unit_tests += tests/unit/test_error
unit_tests += tests/unit/test_log
unit_tests += tests/unit/test_mac
unit_tests += tests/unit/test_fdb
unit_tests += tests/unit/test_fdb_fairness
unit_tests += tests/unit/test_fdb_race
EXTRA_DIST += tests/unit/fdb_fixture.h
unit_tests += tests/unit/test_rpc_client
unit_tests += tests/unit/test_rpc_conn
unit_tests += tests/unit/test_rpc_listen
unit_tests += tests/unit/test_rpc_params
unit_tests += tests/unit/test_rpc_server
EXTRA_DIST += tests/unit/rpc_rig.h

# Those with threads in them run under ThreadSanitizer too.
thread_tests += tests/unit/test_epoch
thread_tests += tests/unit/test_fdb_race
