/** NaN in WGSL. */

/** A function that tells NaN by its bits: compilers of shaders may take it that no number is NaN. */
export const isNaNFunction = `
fn isNaN(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
`;
