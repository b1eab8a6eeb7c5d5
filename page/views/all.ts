/** The views of the page, by the id of the place that each fills. */
import type { MakeView } from '../view.ts';

export const views: Readonly<Record<string, MakeView>> = {};
