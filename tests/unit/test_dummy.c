#include "ports/dummy.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void mtu_taken_back_is_its_own_again(void **state)
{
	const struct port_ops *ops = &port_ops_dummy;
	struct port_request rq = { .type = "dummy", .mtu = 9000 };
	struct port_grant grant;

	(void)state;
	assert_int_equal(ops->acquire(&rq, &grant, NULL), 0);
	assert_int_equal(grant.mtu, 9000);
	rq.mtu = 1400;
	assert_int_equal(ops->adjust(&rq, &grant, NULL), 0);
	assert_int_equal(grant.mtu, 1400);
	rq.mtu = 0;
	assert_int_equal(ops->adjust(&rq, &grant, NULL), 0);
	assert_int_equal(grant.mtu, 1500);
	ops->release(&rq, &grant);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mtu_taken_back_is_its_own_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
