noinst_LIBRARIES += control/libcontrol.a
control_libcontrol_a_SOURCES = \
	control/rpc_call.c \
	control/rpc_client.c control/rpc_client.h \
	control/rpc_conn.c \
	control/rpc_discover.c \
	control/rpc_internal.h \
	control/rpc_json.c control/rpc_json.h \
	control/rpc_listen.c \
	control/rpc_method.c control/rpc_method.h \
	control/rpc_server.c control/rpc_server.h
