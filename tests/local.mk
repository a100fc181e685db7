EXTRA_DIST += \
	tests/codespell.words \
	tests/cppcheck.h \
	tests/cppcheck.suppressions \
	tests/lint \
	tests/run \
	tests/sandbox
