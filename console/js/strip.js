// The narrow strip beside the conversation: where in it the light is.

import { make } from "./dom.js";

export class Strip {
  constructor(root, jump) {
    this.root = root;
    this.jump = jump;
  }

  clear() {
    this.root.replaceChildren();
  }

  /**
   * Shows stretches of turns.
   * @param {Array<{ids: number[], look: string}>} groups `look` is a class
   * @param {number} count turns in all
   */
  show(groups, count) {
    this.root.replaceChildren(
      ...groups.flatMap(({ ids, look }) =>
        stretches(ids).map(([first, last]) => {
          const mark = make(`span.mark.${look}`, { on: { click: () => this.jump(first) } });
          mark.style.top = `${(100 * first) / count}%`;
          mark.style.height = `${(100 * (last - first + 1)) / count}%`;
          return mark;
        }),
      ),
    );
  }
}

/** Runs of neighbours: [3, 4, 5, 9] → [[3, 5], [9, 9]]. */
export function stretches(ids) {
  const runs = [];
  for (const id of [...ids].sort((one, other) => one - other)) {
    const run = runs.at(-1);
    if (run && id <= run[1] + 1) run[1] = id;
    else runs.push([id, id]);
  }
  return runs;
}

/** `4–6, 9`. */
export function inWords(ids) {
  return stretches(ids)
    .map(([first, last]) => (first === last ? String(first) : `${first}–${last}`))
    .join(", ");
}
