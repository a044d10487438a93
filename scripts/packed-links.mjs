// The links of the pages in the published package: what is not in it (examples, benchmarks, long results) is linked in the repository, at the tag
// of the release.

import path from "node:path";

/** The address of the repository for browsers: "https://github.com/owner/name" of "git+https://github.com/owner/name.git". */
export function pagesOf(repository) {
  return repository.url.replace(/^git\+/, "").replace(/\.git$/, "");
}

/**
 * @param text Markdown.
 * @param page The page's path in the package: "docs/guide/serving.md".
 * @param isPacked Whether the package holds a path.
 * @param base What stands before the path of a file that it does not hold.
 */
export function withPackedLinks(text, page, isPacked, base) {
  return text.replace(/\]\(([^)\s#]+)(#[^)\s]*)?\)/g, (link, target, anchor = "") => {
    if (/^[a-z]+:/.test(target)) return link;
    const file = path.posix.normalize(path.posix.join(path.posix.dirname(page), target));
    return isPacked(file) ? link : `](${base}/${file}${anchor})`;
  });
}
