/* Between inference.c, which understands requests, and inference_dial.c, which finds the route's server. */
#pragma once

#include "lib/inference_route.h"

/* A route in use; a newer one takes its place when nobody uses it any more. */
struct inference {
	unsigned int refs;
	struct inference_route route;
};
