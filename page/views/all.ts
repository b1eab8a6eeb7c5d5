/** The views of the page, by the id of the place that each fills. */
import { tourView } from '../tour.ts';
import type { MakeView } from '../view.ts';
import { chartView } from './chart.ts';
import { graphView } from './graph.ts';
import { matricesView } from './matrices.ts';
import { questionsView } from './questions.ts';
import { attentionView, samplesView } from './samples.ts';

export const views: Readonly<Record<string, MakeView>> = {
  matrices: matricesView,
  graph: graphView,
  chart: chartView,
  samples: samplesView,
  attention: attentionView,
  questions: questionsView,
  tour: tourView,
};
