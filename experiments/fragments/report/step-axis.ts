// The pictures of the page share width and margins, so that a step stands at the same place in each.
export const STEP_WIDTH = 1000;
export const STEP_MARGINS = { marginLeft: 190, marginRight: 24, marginTop: 14, marginBottom: 40 };
export const AXIS_FONT_SIZE = 12;
