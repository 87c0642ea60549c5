/* SPDX-License-Identifier: Apache-2.0 */
/* text - text to and from Slack: escaping outwards, tokens and odd characters inwards; pure. */
#ifndef OPSD_SLACK_TEXT_H
#define OPSD_SLACK_TEXT_H

#include <stddef.h>

/* & < > escaped once, ampersand first.  The caller frees. */
char *slack_text_escape(const char *text);

/* Cuts to a number of UTF-16 units, ending in "…" when cut.  The caller frees. */
char *slack_text_cut(const char *text, size_t units);

/*
 * Command text as Slack sends it (should_escape) to what the person meant: <@U1|x> becomes @U1,
 * <#C1|x> #C1, <!subteam^S1|x> @S1, <https://u|u> the URL or the label when the link was made by
 * the client from a bare host, <mailto:a@b|a@b> a@b; then &lt; &gt; &amp; are decoded, once, in the
 * rest only.  Every Unicode space becomes a space, zero-width characters go, curly quotes become
 * straight, a dash at the start of a word becomes "-" ("—" "--").  Control characters but newline
 * become spaces.  The original is kept by the caller for the record.  The caller frees.
 */
char *slack_text_decode(const char *text);

#endif
