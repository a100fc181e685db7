/*
 * cppcheck.h - macros of headers that cppcheck doesn't read, as it should
 * take them; given to it by tests/lint, included by nobody
 */
#define mnl_attr_for_each(a, nlh, offset) \
	for ((a) = attr_first(nlh); attr_ok(a); (a) = attr_next(a))
#define mnl_attr_for_each_nested(a, nest) \
	for ((a) = attr_first(nest); attr_ok(a); (a) = attr_next(a))
#define LIST_HEAD(name, type)       \
	struct name {               \
		struct type *first; \
	}
#define LIST_ENTRY(type)            \
	struct {                    \
		struct type *next;  \
		struct type **prev; \
	}
#define TAILQ_HEAD(name, type)      \
	struct name {               \
		struct type *first; \
		struct type **last; \
	}
#define TAILQ_ENTRY(type) LIST_ENTRY(type)
#define json_array_foreach(array, i, value) \
	for ((i) = 0; ((value) = json_array_get(array, i)); (i)++)
#define json_object_foreach(object, key, value)                      \
	for ((key) = first_key(object); ((value) = json_value(key)); \
	     (key) = next_key(object, key))
#define LIST_FOREACH(var, head, field) \
	for ((var) = (head)->first; (var); (var) = (var)->field.next)
