/* How many guests a listener lets in, how fast, and how long they may take to
 * say what they want. */
#include "tests/sim/guests.h"

static void close_all(const int *fd, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		close(fd[i]);
}

static void connect_all(const char *name, int *fd, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		fd[i] = guests_connect(name, SOCK_SEQPACKET);
}

/* Until nothing is left to do now. */
static void run_all(void)
{
	struct pollfd p = { .fd = listeners_fd(guests.s->sw),
			    .events = POLLIN };

	do
		guests_run();
	while (poll(&p, 1, 0) == 1);
}

/* ---- Number ---- */

static void one_guest_too_many_is_hung_up_on_and_told(void **state)
{
	json_t *told;
	int fd[4];

	(void)state;
	guests_listen("l", "type=seqpacket max=3");
	connect_all("l", fd, 4);
	run_all();
	assert_int_equal(guests_ports("l"), 3);
	for (int i = 0; i < 3; i++)
		assert_true(guests_waits(fd[i]));
	assert_true(guests_hung_up(fd[3]));
	assert_int_equal(guests_count("l", "accepted"), 3);
	assert_int_equal(guests_refused("l", "limit"), 1);
	told = guests_told("listener.refused");
	assert_string_equal(rpc_get_string(told, "reason", ""), "limit");
	assert_int_equal(rpc_get_int(json_object_get(told, "peer"), "pid", 0),
			 getpid());
	close_all(fd, 4);
}

static void who_leaves_makes_room(void **state)
{
	int a, b;

	(void)state;
	guests_listen("l", "type=seqpacket max=1");
	a = guests_come("l");
	b = guests_come("l");
	assert_true(guests_hung_up(b));
	close(a);
	close(b);
	guests_frames();
	a = guests_come("l");
	assert_true(guests_waits(a));
	assert_true(guests_port("l.1"));
	close(a);
}

static void switch_has_so_many_listeners_each_at_its_own_place(void **state)
{
	struct error err = { 0 };
	char name[16];

	(void)state;
	for (int i = 0; i < LISTENERS_MAX; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		guests_listen(name, "type=seqpacket");
	}
	assert_int_equal(guests_add("m", "type=seqpacket", &err), -ENOSPC);
	assert_string_equal(err.reason, "too-many-listeners");
	guests_remove("l7");
	assert_int_equal(guests_add("l3", "type=stream", &err), -EEXIST);
	assert_string_equal(err.reason, "listener-exists");
	guests_listen("m", "type=seqpacket");
}

static void switch_that_is_full_refuses_guests(void **state)
{
	struct sim *s = *state;
	uint32_t max = s->sw->shared.ports_max;
	int a;

	guests_listen("l", "type=seqpacket");
	s->sw->shared.ports_max = 0;
	a = guests_come("l");
	s->sw->shared.ports_max = max;
	assert_true(guests_hung_up(a));
	assert_int_equal(guests_refused("l", "no-port"), 1);
	assert_int_equal(guests_count("l", "accepted"), 0);
	close(a);
}

/* ---- Rate ---- */

static void guests_beyond_the_rate_wait_and_come_in_one_by_one(void **state)
{
	int fd[8];

	(void)state;
	guests_listen("l", "type=seqpacket rate=4");
	connect_all("l", fd, 8);
	run_all();
	assert_int_equal(guests_ports("l"), 4);
	assert_int_equal(guests.due, GUESTS_START + GUESTS_S / 4);
	assert_true(guests_waits(fd[4])); /* it isn't hung up on */
	guests_pass(GUESTS_S / 4 - 1);
	run_all();
	assert_int_equal(guests_ports("l"), 4);
	guests_pass(1);
	run_all();
	assert_int_equal(guests_ports("l"), 5);
	guests_pass(GUESTS_S / 2); /* two more turns */
	run_all();
	assert_int_equal(guests_ports("l"), 7);
	guests_pass(GUESTS_S / 4);
	run_all();
	assert_int_equal(guests_ports("l"), 8);
	assert_int_equal(guests_count("l", "accepted"), 8);
	assert_int_equal(guests_events("listener.refused"), 0);
	close_all(fd, 8);
}

static void nobody_asks_for_a_timer_while_nobody_waits(void **state)
{
	int a;

	(void)state;
	guests_listen("l", "type=seqpacket rate=2");
	run_all();
	assert_int_equal(guests.due, 0);
	a = guests_come("l");
	run_all();
	assert_int_equal(guests.due, 0);
	close(a);
}

static void turn_that_nobody_took_is_the_next_guests(void **state)
{
	int fd[4];

	(void)state;
	guests_listen("l", "type=seqpacket rate=4");
	/* Each time there is a look whether there is one more. */
	for (int i = 0; i < 4; i++) {
		fd[i] = guests_come("l");
		run_all();
		assert_int_equal(guests_ports("l"), i + 1);
	}
	close_all(fd, 4);
}

static void quiet_time_is_saved_up_to_a_second_only(void **state)
{
	int fd[20];

	(void)state;
	guests_listen("l", "type=seqpacket rate=5");
	guests_pass(100 * GUESTS_S);
	connect_all("l", fd, 20);
	run_all();
	assert_int_equal(guests_ports("l"), 5);
	guests_pass(GUESTS_S);
	run_all();
	assert_int_equal(guests_ports("l"), 10);
	close_all(fd, 20);
}

static void one_listeners_rate_is_not_anothers(void **state)
{
	int fd[3], other;

	(void)state;
	guests_listen("l", "type=seqpacket rate=1");
	guests_listen("m", "type=seqpacket rate=1");
	connect_all("l", fd, 3);
	run_all();
	other = guests_come("m");
	assert_int_equal(guests_ports("l"), 1);
	assert_int_equal(guests_ports("m"), 1);
	close_all(fd, 3);
	close(other);
}

static void listener_that_waits_can_be_removed(void **state)
{
	int fd[3];

	(void)state;
	guests_listen("l", "type=seqpacket rate=1");
	connect_all("l", fd, 3);
	run_all();
	guests_remove("l");
	run_all();
	assert_int_equal(guests.due, 0);
	/* Linux resets who was never accepted. */
	for (int i = 0; i < 3; i++)
		assert_false(guests_waits(fd[i]));
	close_all(fd, 3);
}

static void who_is_refused_counts_for_the_rate(void **state)
{
	int fd[5];

	(void)state;
	guests_listen("l", "type=seqpacket max=1 rate=2");
	connect_all("l", fd, 5);
	run_all();
	assert_int_equal(guests_refused("l", "limit"), 1);
	guests_pass(GUESTS_S / 2);
	run_all();
	assert_int_equal(guests_refused("l", "limit"), 2);
	close_all(fd, 5);
}

static void refusals_beyond_ten_a_second_are_counted_not_told(void **state)
{
	int fd[41];

	(void)state;
	guests_listen("l", "type=seqpacket max=1 rate=1000");
	connect_all("l", fd, 41);
	run_all();
	assert_int_equal(guests_refused("l", "limit"), 40);
	assert_int_equal(guests_events("listener.refused"),
			 LISTENER_EVENTS_MAX);
	close_all(fd + 1, 40);
	guests_pass(GUESTS_S);
	fd[1] = guests_come("l");
	assert_int_equal(
		rpc_get_int(guests_told("listener.refused"), "untold", 0), 30);
	/* Those that were told of then aren't told of again. */
	fd[2] = guests_come("l");
	assert_null(json_object_get(guests_told("listener.refused"), "untold"));
	close_all(fd, 3);
}

/* ---- What a guest says ---- */

#define UML_REQUEST 124 /* bytes */

/* One that has connected to a `uml` listener, and its socket for frames. */
struct uml_guest {
	int conn, data;
};

static struct uml_guest uml_come(const char *name)
{
	struct sockaddr_un own = { .sun_family = AF_UNIX };
	struct uml_guest g = { .conn = guests_connect(name, SOCK_STREAM),
			       .data = socket(AF_UNIX, SOCK_DGRAM, 0) };

	/* All of it is the name, as UML has it. */
	snprintf(own.sun_path + 1, sizeof(own.sun_path) - 1, "sim %d %d",
		 (int)getpid(), g.data);
	assert_int_equal(bind(g.data, (struct sockaddr *)&own, sizeof(own)), 0);
	run_all();
	return g;
}

/* Its request, of 124 bytes. */
static void uml_request(const struct uml_guest *g, uint32_t magic,
			uint32_t number, uint8_t *rq)
{
	uint32_t head[3] = { magic, 3, number << 8 };
	struct sockaddr_un own;
	socklen_t len = sizeof(own);

	memset(&own, 0, sizeof(own));
	assert_int_equal(getsockname(g->data, (struct sockaddr *)&own, &len),
			 0);
	memset(rq, 0, UML_REQUEST);
	memcpy(rq, head, sizeof(head));
	memcpy(rq + sizeof(head), &own, sizeof(own));
}

/* The first n bytes of it, from `from` on. */
static void uml_say(const struct uml_guest *g, uint32_t magic, size_t from,
		    size_t n)
{
	uint8_t rq[UML_REQUEST];

	uml_request(g, magic, 0, rq);
	assert_int_equal(send(g->conn, rq + from, n, MSG_NOSIGNAL), n);
	run_all();
}

/* All of it, and which port it wants to be. */
static void uml_want(const struct uml_guest *g, uint32_t number)
{
	uint8_t rq[UML_REQUEST];

	uml_request(g, 0xfeedface, number, rq);
	assert_int_equal(send(g->conn, rq, sizeof(rq), MSG_NOSIGNAL),
			 sizeof(rq));
	run_all();
}

static void uml_leave(const struct uml_guest *g)
{
	close(g->conn);
	close(g->data);
}

static void guest_that_says_it_byte_by_byte_is_understood(void **state)
{
	struct uml_guest g;
	uint8_t answer[256];

	(void)state;
	guests_listen("u", "type=uml");
	g = uml_come("u");
	for (size_t i = 0; i < 124; i++) {
		assert_int_equal(guests_ports("u"), 0);
		uml_say(&g, 0xfeedface, i, 1);
	}
	assert_int_equal(guests_ports("u"), 1);
	assert_int_equal(guests.due, 0);
	assert_int_equal(recv(g.conn, answer, sizeof(answer), MSG_DONTWAIT),
			 sizeof(struct sockaddr_un));
	assert_int_equal(guests_count("u", "asking"), 0);
	uml_leave(&g);
}

static void guest_that_says_nothing_is_hung_up_on_after_two_seconds(void **st)
{
	struct uml_guest g, half;

	(void)st;
	guests_listen("u", "type=uml");
	g = uml_come("u");
	half = uml_come("u");
	uml_say(&half, 0xfeedface, 0, 100);
	assert_int_equal(guests.due, GUESTS_START + LISTENER_REQUEST_NS);
	guests_pass(LISTENER_REQUEST_NS - 1);
	assert_true(guests_waits(g.conn));
	assert_int_equal(guests_count("u", "asking"), 2);
	guests_pass(1);
	assert_true(guests_hung_up(g.conn));
	assert_int_equal(guests_count("u", "asking"), 0);
	assert_int_equal(guests_refused("u", "timeout"), 2);
	assert_int_equal(guests_count("u", "accepted"), 0);
	guests_run();
	assert_int_equal(guests.due, 0);
	uml_leave(&g);
	uml_leave(&half);
}

static void too_many_that_say_nothing_push_out_the_oldest(void **state)
{
	struct uml_guest g[LISTENER_PENDING_MAX + 1], quick;

	(void)state;
	guests_listen("u", "type=uml rate=100");
	for (int i = 0; i <= LISTENER_PENDING_MAX; i++) {
		g[i] = uml_come("u");
		guests_pass(GUESTS_MS);
	}
	assert_true(guests_hung_up(g[0].conn));
	assert_true(guests_waits(g[1].conn));
	assert_int_equal(guests_refused("u", "crowded"), 1);
	assert_int_equal(guests_count("u", "asking"), LISTENER_PENDING_MAX);
	quick = uml_come("u");
	assert_true(guests_hung_up(g[1].conn));
	uml_say(&quick, 0xfeedface, 0, 124);
	assert_int_equal(guests_ports("u"), 1);
	uml_leave(&quick);
	for (int i = 0; i <= LISTENER_PENDING_MAX; i++)
		uml_leave(&g[i]);
}

static void number_that_is_anothers_or_no_ports_is_refused(void **state)
{
	const uint32_t number[] = { 5, 5, LISTENER_PORTS_MAX,
				    LISTENER_PORTS_MAX + 1 };
	struct uml_guest g[4];

	(void)state;
	guests_listen("u", "type=uml rate=100");
	for (int i = 0; i < 4; i++) {
		g[i] = uml_come("u");
		uml_want(&g[i], number[i]);
	}
	assert_int_equal(guests_ports("u"), 2);
	assert_true(guests_port("u.5"));
	assert_true(guests_port("u.4096"));
	assert_true(guests_hung_up(g[1].conn));
	assert_true(guests_hung_up(g[3].conn));
	assert_int_equal(guests_refused("u", "number-taken"), 2);
	for (int i = 0; i < 4; i++)
		uml_leave(&g[i]);
}

/* They count when they come in, and again when they have asked. */
static void number_of_guests_holds_for_those_that_ask(void **state)
{
	struct uml_guest a, b, c;

	(void)state;
	guests_listen("u", "type=uml max=1");
	a = uml_come("u");
	b = uml_come("u");
	uml_say(&a, 0xfeedface, 0, UML_REQUEST);
	assert_int_equal(guests_ports("u"), 1);
	c = uml_come("u");
	assert_true(guests_hung_up(c.conn));
	assert_int_equal(guests_refused("u", "limit"), 1);
	assert_true(guests_waits(b.conn));
	uml_say(&b, 0xfeedface, 0, UML_REQUEST);
	assert_true(guests_hung_up(b.conn));
	assert_int_equal(guests_refused("u", "limit"), 2);
	assert_int_equal(guests_ports("u"), 1);
	uml_leave(&a);
	uml_leave(&b);
	uml_leave(&c);
}

static void nonsense_and_who_hangs_up_are_counted_apart(void **state)
{
	struct uml_guest g;

	(void)state;
	guests_listen("u", "type=uml");
	g = uml_come("u");
	uml_say(&g, 0xfeedfacf, 0, 124);
	assert_int_equal(guests_refused("u", "bad-request"), 1);
	assert_false(guests_waits(g.conn));
	uml_leave(&g);
	g = uml_come("u");
	uml_leave(&g);
	run_all();
	assert_int_equal(guests_refused("u", "gone"), 1);
	assert_int_equal(guests_ports("u"), 0);
	assert_int_equal(guests_count("u", "asking"), 0);
}

static void removed_listener_drops_who_is_just_asking(void **state)
{
	struct uml_guest g;

	(void)state;
	guests_listen("u", "type=uml");
	g = uml_come("u");
	guests_remove("u");
	run_all();
	assert_true(guests_hung_up(g.conn));
	assert_int_equal(guests.due, 0);
	uml_leave(&g);
}

/* ---- The socket ---- */

static void socket_that_was_shut_down_is_made_anew(void **state)
{
	struct sockaddr_un a;
	socklen_t len;
	int b;

	(void)state;
	guests_listen("l", "type=seqpacket");
	/* As a switch process that somebody had taken over has left it. */
	for (int fd = 3; fd < 256; fd++) {
		len = sizeof(a);
		memset(&a, 0, sizeof(a));
		if (getsockname(fd, (struct sockaddr *)&a, &len) == 0 &&
		    a.sun_family == AF_UNIX && strstr(a.sun_path, "/l"))
			assert_int_equal(shutdown(fd, SHUT_RDWR), 0);
	}
	run_all();
	b = guests_come("l");
	assert_true(guests_port("l.1"));
	close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GUESTS_TEST(one_guest_too_many_is_hung_up_on_and_told),
		GUESTS_TEST(who_leaves_makes_room),
		GUESTS_TEST(switch_has_so_many_listeners_each_at_its_own_place),
		GUESTS_TEST(switch_that_is_full_refuses_guests),
		GUESTS_TEST(guests_beyond_the_rate_wait_and_come_in_one_by_one),
		GUESTS_TEST(nobody_asks_for_a_timer_while_nobody_waits),
		GUESTS_TEST(turn_that_nobody_took_is_the_next_guests),
		GUESTS_TEST(quiet_time_is_saved_up_to_a_second_only),
		GUESTS_TEST(one_listeners_rate_is_not_anothers),
		GUESTS_TEST(listener_that_waits_can_be_removed),
		GUESTS_TEST(who_is_refused_counts_for_the_rate),
		GUESTS_TEST(refusals_beyond_ten_a_second_are_counted_not_told),
		GUESTS_TEST(guest_that_says_it_byte_by_byte_is_understood),
		GUESTS_TEST(
			guest_that_says_nothing_is_hung_up_on_after_two_seconds),
		GUESTS_TEST(too_many_that_say_nothing_push_out_the_oldest),
		GUESTS_TEST(number_that_is_anothers_or_no_ports_is_refused),
		GUESTS_TEST(number_of_guests_holds_for_those_that_ask),
		GUESTS_TEST(nonsense_and_who_hangs_up_are_counted_apart),
		GUESTS_TEST(removed_listener_drops_who_is_just_asking),
		GUESTS_TEST(socket_that_was_shut_down_is_made_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
