export const greeting = "before";
