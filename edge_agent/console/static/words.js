// What the lane's words are called on the page. French only for what drivers are shown or told.

const plain = (name, prefix) => (name ?? '').replace(prefix, '').toLowerCase().replaceAll('_', ' ');

export const MODES = {
  LANE_MODE_CLOSED: ['CLOSED', 'nobody passes'],
  LANE_MODE_ATTENDED: ['ATTENDED', 'an officer stands at the lane'],
  LANE_MODE_REMOTE: ['REMOTE', 'vehicles may roll'],
  LANE_MODE_DEGRADED: ['DEGRADED', 'stop and talk, standing vehicles only'],
  LANE_MODE_ALL_HOLD: ['ALL HOLD', 'red for everybody'],
  LANE_MODE_MAINTENANCE: ['MAINTENANCE', 'somebody works at the lane; nobody passes'],
  LANE_MODE_FAULT: ['FAULT', 'the lane is out of order'],
};
export const mode = name => MODES[name]?.[0] ?? 'UNKNOWN MODE';

export const VERDICTS = {
  VERDICT_RELEASE: 'RELEASE',
  VERDICT_HOLD_AT_LINE: 'HOLD AT THE LINE',
  VERDICT_REFER_SECONDARY: 'REFER',
  VERDICT_REFUSE_RETURN: 'REFUSE, RETURN',
  VERDICT_MANUAL_LANE: 'MANUAL LANE',
  VERDICT_NO_DECISION: 'NO DECISION',
};
export const verdict = name => VERDICTS[name] ?? 'UNKNOWN VERDICT';

export const REASONS = {
  REFERRAL_REASON_COMMERCIAL_EXAM: 'Commercial examination',
  REFERRAL_REASON_IMMIGRATION: 'Immigration',
  REFERRAL_REASON_CUSTOMS: 'Customs',
  REFERRAL_REASON_FOOD_PLANT_ANIMAL: 'Food, plant, animal',
  REFERRAL_REASON_OTHER_AGENCY: 'Other agency',
  REFERRAL_REASON_DOCUMENTS: 'Documents',
  REFERRAL_REASON_RANDOM: 'Random',
  REFERRAL_REASON_EQUIPMENT: 'Equipment',
};

export const authority = name =>
  ({ AUTHORITY_SYSTEM: 'central', AUTHORITY_BSO: 'officer', AUTHORITY_BSO_LOCAL: 'officer at the lane' })[name] ?? '?';

export const phase = name =>
  ({
    PHASE_DETECTED: 'Detected',
    PHASE_IDENTIFYING: 'Identifying',
    PHASE_REQUESTED: 'Asked central',
    PHASE_DECIDED: 'Decided',
    PHASE_GRANTED: 'Granted',
    PHASE_PASSING: 'Passing the line',
    PHASE_CLEARED: 'Past the line',
    PHASE_EXITED: 'Left',
    PHASE_SEALED: 'Closed',
  })[name] ?? 'Unknown';

// Short, for the three chips in a row.
export const chip = name => ({ LEG_DRIVER: 'Driver', LEG_CONVEYANCE: 'Vehicle', LEG_CARGO: 'Cargo' })[name] ?? '?';
export const leg = name => ({ LEG_DRIVER: 'Driver', LEG_CONVEYANCE: 'Conveyance', LEG_CARGO: 'Cargo' })[name] ?? '?';

export const identity = name =>
  ({
    IDENTITY_KIND_DRIVER_CARD: 'Driver card',
    IDENTITY_KIND_TRANSPONDER: 'Transponder',
    IDENTITY_KIND_OTHER_TAG: 'Other tag',
    IDENTITY_KIND_PLATE_FRONT: 'Front plate',
    IDENTITY_KIND_PLATE_REAR: 'Rear plate',
    IDENTITY_KIND_CRN: 'CRN',
    IDENTITY_KIND_CCN: 'CCN',
    IDENTITY_KIND_CONTAINER: 'Container',
  })[name] ?? plain(name, 'IDENTITY_KIND_');

const FLAGS = {
  waiting_at_line: 'waits at the line',
  late: 'decision came late',
  revoked: 'release was revoked',
  late_revocation: 'revoked too late to stop',
  late_change: 'identity changed late',
  reversed: 'reversed',
  ambiguous: 'identity is not certain',
  violation: 'crossed without permission',
  orphaned: 'lost at a restart',
  no_tag: 'no tag read',
  multiple_cards: 'several driver cards',
  order_unknown: 'order was unknown',
  unconfirmed_green: 'green was not confirmed',
  stalled_after_green: 'stands under green',
  stopped_in_corridor: 'stopped in the corridor',
  centre_lost: 'central was lost',
  sensor_fault: 'a sensor failed',
  restarted: 'agent restarted meanwhile',
  clock_stepped: 'clock was set meanwhile',
  duplicate_identity: 'identity seen twice',
  reader_gap: 'reader was down meanwhile',
  doubtful: 'sensors contradict each other',
  unproven: 'may be no vehicle',
  mixed: 'may be two vehicles',
  late_card: 'a card was shown late',
  passback: 'card was here a moment ago',
  seen_elsewhere: 'identity seen at another lane',
  tid_mismatch: 'tag may be a copy',
};
export const flag = name => FLAGS[name] ?? name.replaceAll('_', ' ');
const GRAVE = new Set(['violation', 'revoked', 'late_revocation', 'ambiguous', 'unconfirmed_green', 'duplicate_identity', 'seen_elsewhere', 'tid_mismatch']);
export const grave = name => GRAVE.has(name);

export const outcome = name =>
  ({
    OUTCOME_RELEASED_ROLLING: 'Released, rolling',
    OUTCOME_RELEASED_STOPPED: 'Released after stop',
    OUTCOME_REFERRED: 'Referred',
    OUTCOME_REFUSED: 'Refused',
    OUTCOME_MANUAL: 'Manual',
    OUTCOME_VIOLATION: 'VIOLATION',
    OUTCOME_ABANDONED: 'Abandoned',
    OUTCOME_REVERSED: 'Reversed',
    OUTCOME_UNRESOLVED: 'Unresolved',
  })[name] ?? plain(name, 'OUTCOME_');

export const aspect = name => plain(name, 'ASPECT_').toUpperCase().replace('UNSPECIFIED', 'NOTHING');
export const grade = name =>
  ({ GRADE_COIL: 'module output', GRADE_CONTACT: 'relay contact', GRADE_LAMP: 'lamp' })[name] ?? 'nothing';

export const severity = name =>
  ({ SEVERITY_ALARM: ['▲', 'Alarm'], SEVERITY_WARNING: ['◆', 'Warning'], SEVERITY_INFO: ['●', 'Note'] })[name] ?? [
    '●',
    'Note',
  ];

export const DRIVER = {
  red: 'STOP · ARRÊT',
  green: 'PROCEED SLOWLY · AVANCEZ LENTEMENT',
  closed: 'LANE CLOSED · VOIE FERMÉE',
  refer: "GO TO SECONDARY · ALLEZ À L'INSPECTION SECONDAIRE",
};
