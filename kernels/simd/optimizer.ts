// One step of AdamW on `count` numbers, four at a time; see src/nn/adamw.ts. Roots and quotients are those of f32. Where
// `changes` is not 0, the sum of |value - value before| is written there.

export function adamw(
  gradient: usize, value: usize, mean: usize, square: usize, changes: usize, count: i32,
  factor: f32, rate: f32, beta1: f32, beta2: f32, epsilon: f32, decay: f32, correction1: f32, correction2: f32,
): void {
  const whole = count & ~3;
  const keep: f32 = 1 - rate * decay;
  const rest1: f32 = 1 - beta1;
  const rest2: f32 = 1 - beta2;
  let moved = f64x2.splat(0);
  for (let i = 0; i < whole; i += 4) {
    const at = (<usize>i) << 2;
    const g = f32x4.mul(f32x4.splat(factor), v128.load(gradient + at));
    const m = f32x4.add(f32x4.mul(f32x4.splat(beta1), v128.load(mean + at)), f32x4.mul(f32x4.splat(rest1), g));
    const v = f32x4.add(
      f32x4.mul(f32x4.splat(beta2), v128.load(square + at)),
      f32x4.mul(f32x4.mul(f32x4.splat(rest2), g), g),
    );
    v128.store(mean + at, m);
    v128.store(square + at, v);
    const root = f32x4.add(f32x4.sqrt(f32x4.div(v, f32x4.splat(correction2))), f32x4.splat(epsilon));
    const direction = f32x4.div(f32x4.div(m, f32x4.splat(correction1)), root);
    const before = v128.load(value + at);
    const after = f32x4.sub(f32x4.mul(before, f32x4.splat(keep)), f32x4.mul(f32x4.splat(rate), direction));
    v128.store(value + at, after);
    if (changes != 0) {
      const distance = f32x4.abs(f32x4.sub(after, before));
      moved = f64x2.add(moved, f64x2.promote_low_f32x4(distance));
      moved = f64x2.add(moved, f64x2.promote_low_f32x4(v128.shuffle<f32>(distance, distance, 2, 3, 2, 3)));
    }
  }
  let rest: f64 = 0;
  for (let i = whole; i < count; i++) {
    const at = (<usize>i) << 2;
    const g = factor * load<f32>(gradient + at);
    const m = beta1 * load<f32>(mean + at) + rest1 * g;
    const v = beta2 * load<f32>(square + at) + rest2 * g * g;
    store<f32>(mean + at, m);
    store<f32>(square + at, v);
    const direction = m / correction1 / (sqrt<f32>(v / correction2) + epsilon);
    const before = load<f32>(value + at);
    const after = before * keep - rate * direction;
    store<f32>(value + at, after);
    rest += <f64>abs(after - before);
  }
  if (changes != 0) {
    store<f32>(changes, <f32>(f64x2.extract_lane(moved, 0) + f64x2.extract_lane(moved, 1) + rest));
  }
}
