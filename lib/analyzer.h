/*
 * Where gcc -fanalyzer (make analyze) is wrong, the function says so, with the reason beside it:
 *
 *	ANALYZER_OFF("-Wanalyzer-malloc-leak") // the list owns it now
 *	static int add(...) { ... }
 *	ANALYZER_ON
 *
 * Other compilers do not know the warnings; that is no warning either.
 */
#pragma once

#define ANALYZER_PRAGMA(text) _Pragma(#text)
#define ANALYZER_OFF(warning)                                                                      \
	ANALYZER_PRAGMA(GCC diagnostic push)                                                       \
	ANALYZER_PRAGMA(GCC diagnostic ignored "-Wpragmas")                                        \
	ANALYZER_PRAGMA(GCC diagnostic ignored "-Wunknown-warning-option")                         \
	ANALYZER_PRAGMA(GCC diagnostic ignored warning)
#define ANALYZER_ON ANALYZER_PRAGMA(GCC diagnostic pop)
