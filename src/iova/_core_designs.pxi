# Part of _core.pyx: designs: built-in ones by name, and policies in Python.

# What may be chosen for any design, in the order of Design.change(); see iova.designs.
OPTIONS = ("tree", "magazine", "classes", "hold")

cdef class View:
    cdef const c.iova_view *view

    cdef const c.iova_view *get(self) except NULL:
        if self.view == NULL:
            raise RuntimeError("a View is valid only during the call of look() it was given to")
        return self.view

    @property
    def now_ns(self):
        return self.get().now

    @property
    def size_class(self):
        return self.get().size_class

    @property
    def classes(self):
        return self.get().classes

    @property
    def cpus_online(self):
        return self.get().cpus_online

    @property
    def cpus_possible(self):
        return self.get().cpus_possible

    @property
    def depot(self):
        return self.get().depot

    @property
    def depot_low(self):
        return self.get().depot_low

    @property
    def pushed(self):
        return self.get().pushed

    @property
    def popped(self):
        return self.get().popped

    @property
    def tree_allocated(self):
        return self.get().tree_allocated

    @property
    def tree_freed(self):
        return self.get().tree_freed

    @property
    def depot_cached(self):
        return self.get().depot_cached

    @property
    def magazine(self):
        return self.get().magazine

    def cpu(self, uint32_t cpu):
        cdef const c.iova_view *view = self.get()
        if cpu >= view.cpus_possible:
            raise ValueError(f"CPU {cpu} is not below the {view.cpus_possible} possible ones")
        return c.iova_read_cpu(view.domain, cpu, view.size_class)


cdef class Halt:
    """Tells what runs designs on virtual time that one of them failed."""

    cdef c.cbool wanted


cdef class Design:
    """A design the core can run: a built-in one, or one made of a Python policy."""

    cdef const c.iova_design *design
    cdef const c.iova_design *base  # the built-in one that `own` changes; NULL for a policy
    cdef c.iova_design own
    cdef c.iova_mechanism asked  # of a policy in Python; else what the user wants changed
    cdef bint walks  # the user wants the price of Linux's walk
    cdef uint64_t values[8]
    cdef readonly str name
    cdef public str label  # as the user named it, with parameters
    cdef object policy
    cdef bytes name_bytes
    cdef public object error  # the first exception of the policy
    cdef object on_error  # live: called with it; the default design then decides
    cdef Halt halt  # of the replay or machine that runs it; None: nothing ends before its time

    def __init__(self, design, params=None, *, tree=None, magazine=None, classes=None, hold=None):
        if isinstance(design, str):
            self.use_builtin(design, params or {})
        else:
            self.use_policy(design, params)
        self.change(tree, magazine, classes, hold)
        self.label = self.name

    def __repr__(self):
        label = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in self.label or "not made")
        return f"<Design {label}>"

    cdef use_builtin(self, str name, params):
        self.design = self.base = c.iova_design_named(name.encode())
        if self.design == NULL:
            raise ValueError(f"there is no design {name!r}; built in: "
                             + ", ".join(d["name"] for d in builtin_designs()))
        self.name = name
        names = [self.design.params[i].name.decode() for i in range(self.design.param_count)]
        for i in range(self.design.param_count):
            self.values[i] = self.design.params[i].initial
        for key, value in params.items():
            if key not in names:
                raise ValueError(f"design {name} has no parameter {key!r}; it has: "
                                 + ", ".join([*names, *OPTIONS]))
            self.set_value(names.index(key), value)
        self.own = self.design[0]
        self.own.setup = _changed_setup
        self.own.user = <void *>self
        self.design = &self.own

    cdef set_value(self, int i, value):
        cdef const c.iova_param *param = &self.design.params[i]
        if not isinstance(value, int):
            raise ValueError(f"{self.name}: {param.name.decode()}={brief(value)} is not a whole "
                             "number")
        automatic = param.automatic != NULL and value == AUTO
        if not automatic and not param.minimum <= value <= param.maximum:
            raise ValueError(f"{self.name}: {param.name.decode()}={brief(value)} is not within "
                             f"{param.minimum}..{param.maximum}")
        self.values[i] = value

    cdef use_policy(self, policy, params):
        if params:
            raise ValueError("parameters of a Python policy go to its constructor")
        if not callable(getattr(policy, "look", None)):
            raise TypeError(f"{show(policy)} is no policy: it has no method look(view)")
        self.policy = policy
        self.name = str(getattr(policy, "name", type(policy).__name__))
        self.name_bytes = self.name.encode()
        self.own.name = self.name_bytes
        self.own.summary = b"a policy in Python"
        self.own.setup = _changed_setup
        self.own.look = _python_look
        self.own.user = <void *>self
        self.own.state_size = default_design.state_size  # for what takes over if it fails
        self.design = &self.own
        depot_max = getattr(policy, "depot_max", None)
        delay_ns = getattr(policy, "arm_delay_ns", 100_000_000)
        if depot_max is not None and not (isinstance(depot_max, int) and 0 <= depot_max < 2**64):
            raise ValueError(f"{self.name}: depot_max={show(depot_max)} is no count of magazines")
        if not (isinstance(delay_ns, int) and 1 <= delay_ns < 2**63):
            raise ValueError(f"{self.name}: arm_delay_ns={show(delay_ns)} is no positive time "
                             "in ns")
        self.asked.depot_max = ANCHOR if depot_max is None else depot_max
        self.asked.arm_delay_ns = delay_ns
        self.asked.magazines_at_first_use = bool(getattr(policy, "magazines_at_first_use", True))
        self.asked.arm_by_growth = bool(getattr(policy, "arm_by_growth", False))
        self.asked.bail = bool(getattr(policy, "bail", False))
        self.asked.unbound = bool(getattr(policy, "unbound", False))
        empties_max = getattr(policy, "empties_max", 0)
        if not (isinstance(empties_max, int) and 0 <= empties_max < 2**64):
            raise ValueError(f"{self.name}: empties_max={show(empties_max)} is no count of "
                             "magazines")
        self.asked.empties_max = empties_max
        tree, magazine, classes, hold = [getattr(policy, name, None) for name in OPTIONS]
        self.change(tree, magazine, classes, hold)

    cdef change(self, tree, magazine, classes, hold):
        if tree is not None:
            if tree not in ("linear", "indexed"):
                raise ValueError(f"{self.name}: tree={brief(tree)} is neither linear nor indexed")
            self.asked.indexed = tree == "indexed"
            self.walks = tree == "linear"
        if magazine is not None:
            if not can_hold(magazine):
                raise ValueError(f"{self.name}: magazine={brief(magazine)} is not 2**n - 1 entries "
                                 f"within {c.IOVA_MAGAZINE_LEAST}..{c.IOVA_MAGAZINE_MOST}")
            self.asked.magazine = magazine
        if classes is not None:
            if not (isinstance(classes, int) and 1 <= classes <= c.IOVA_MAX_CLASSES):
                raise ValueError(f"{self.name}: classes={brief(classes)} is not within "
                                 f"1..{c.IOVA_MAX_CLASSES}")
            self.asked.classes = classes
        if hold is not None:
            if not (isinstance(hold, int) and 1 <= hold <= c.IOVA_MAGAZINE_MOST):
                raise ValueError(f"{self.name}: hold={brief(hold)} is not within "
                                 f"1..{c.IOVA_MAGAZINE_MOST} ranges")
            self.asked.tree_batch = hold

    def mechanism(self, uint32_t cpus_possible, uint32_t classes=6):
        cdef c.iova_mechanism mechanism
        cdef c.iova_config config
        memset(&mechanism, 0, sizeof(mechanism))
        memset(&config, 0, sizeof(config))
        mechanism.depot_max = ANCHOR
        config.cpus_possible = config.cpus_online = cpus_possible
        config.classes = classes
        config.granule = 4096
        config.design = self.design
        self.design.setup(self.design, self.values, &config, &mechanism)
        return {
            "depot_max": None if mechanism.depot_max == ANCHOR else mechanism.depot_max,
            "arm_delay_ns": mechanism.arm_delay_ns,
            "magazines_at_first_use": mechanism.magazines_at_first_use,
            "arm_by_growth": mechanism.arm_by_growth,
            "bail": mechanism.bail,
            "unbound": mechanism.unbound,
            "indexed": mechanism.indexed,
            "magazine": mechanism.magazine or c.IOVA_MAGAZINE_CAPACITY,
            "classes": mechanism.classes or classes,
            "tree_batch": mechanism.tree_batch,
            "empties_max": mechanism.empties_max,
        }

    def raise_error(self):
        """Raise what the policy raised, once."""
        error, self.error = self.error, None
        if error is not None:
            raise error


cdef bint can_hold(magazine):
    return (isinstance(magazine, int)
            and c.IOVA_MAGAZINE_LEAST <= magazine <= c.IOVA_MAGAZINE_MOST
            and magazine & (magazine + 1) == 0)


cdef void _changed_setup(const c.iova_design *design, const uint64_t *values,
                         const c.iova_config *config,
                         c.iova_mechanism *mechanism) noexcept with gil:
    handle = <Design>design.user
    if handle.base == NULL:
        mechanism[0] = handle.asked
        return
    handle.base.setup(handle.base, values, config, mechanism)
    if handle.asked.indexed or handle.walks:
        mechanism.indexed = handle.asked.indexed
    if handle.asked.magazine:
        mechanism.magazine = handle.asked.magazine
    if handle.asked.classes:
        mechanism.classes = handle.asked.classes
    if handle.asked.tree_batch:
        mechanism.tree_batch = handle.asked.tree_batch


# What a live domain falls back on when its policy fails.
cdef const c.iova_design *default_design = c.iova_design_named(b"linux-7.3")
# Set when the interpreter ends: its threads can not be entered any more.
cdef bint interpreter_ends = False


cdef void _python_look(const c.iova_design *design, void *state, const uint64_t *values,
                       const c.iova_view *view, c.iova_decision *decision) noexcept nogil:
    cdef bint decided = False
    if not interpreter_ends:
        with gil:
            decided = _look(<Design>design.user, view, decision)
    if not decided:
        _look_by_default(state, view, decision)


cdef void _look_by_default(void *state, const c.iova_view *view,
                           c.iova_decision *decision) noexcept nogil:
    cdef uint64_t values[8]
    cdef uint32_t i
    for i in range(default_design.param_count):
        values[i] = default_design.params[i].initial
    default_design.look(default_design, state, values, view, decision)


class DecisionError(ValueError):
    """What ``look()`` returned makes no sense; the text says what and why."""

    def __init__(self, returned, problem):
        super().__init__(f"look() returned {returned}, which {problem}")


_shown = reprlib.Repr()
_shown.maxother = _shown.maxstring = _shown.maxlong = 60


cdef show(value):
    try:
        return _shown.repr(value)
    except Exception:  # too many digits, or a user's own
        return f"some {type(value).__name__}"


cdef brief(value):
    """A value as its user wrote it, but of a length that a line has room for."""
    return value if isinstance(value, str) and len(value) <= _shown.maxstring else show(value)


cdef object whole(name, value):
    try:
        number = operator.index(value)  # a part of a magazine makes no sense
    except TypeError:
        raise DecisionError(f"{name}={show(value)}", "is no whole number") from None
    if not 0 <= number < 2**64:
        raise DecisionError(f"{name}={show(number)}", f"is not within 0..{2**64 - 1}")
    return number


cdef _carry_over(decided, const c.iova_view *view, c.iova_decision *decision):
    """What look() returned, or DecisionError."""
    if decided is None:
        return
    if isinstance(decided, type) or not all(
            hasattr(decided, name) for name in ("release", "keep", "again_ns", "trim")):
        if isinstance(decided, types.CoroutineType):
            decided.close()  # else Python warns that it was never awaited
        raise DecisionError(show(decided), "is no Decision")
    decision.release = whole("release", decided.release)
    decision.keep = whole("keep", decided.keep)
    decision.again_ns = whole("again_ns", decided.again_ns)
    magazine = whole("magazine", getattr(decided, "magazine", 0))
    if magazine and not can_hold(magazine):
        raise DecisionError(f"magazine={magazine}", "is not 2**n - 1 entries within "
                            f"{c.IOVA_MAGAZINE_LEAST}..{c.IOVA_MAGAZINE_MOST}")
    decision.magazine = magazine
    _carry_over_trim(decided.trim, view.cpus_possible, decision)


cdef _carry_over_trim(trim, uint32_t cpus, c.iova_decision *decision):
    try:
        numbers = iter(trim)
    except TypeError:
        raise DecisionError(f"trim={show(trim)}", "is no sequence of CPUs") from None
    decision.trim_count = 0
    for cpu in numbers:
        if decision.trim_count == cpus:
            raise DecisionError(f"trim={show(trim)}", f"has more CPUs than the {cpus} there are")
        if not hasattr(cpu, "__index__") or not 0 <= operator.index(cpu) < cpus:
            raise DecisionError(f"trim={show(trim)}", f"has {show(cpu)}: no CPU of 0..{cpus - 1}")
        decision.trim[decision.trim_count] = operator.index(cpu)
        decision.trim_count += 1


# False: the default design is to decide.
cdef bint _look(Design handle, const c.iova_view *view, c.iova_decision *decision) noexcept:
    cdef View shown
    if handle.error is not None:  # it has failed, or Ctrl-C came
        return handle.on_error is None
    shown = View.__new__(View)
    shown.view = view
    try:
        _carry_over(handle.policy.look(shown), view, decision)
    except BaseException as error:  # kept, and raised by whoever ran the job
        decision.release = decision.again_ns = decision.trim_count = decision.magazine = 0
        handle.error = error
        if handle.halt is not None:
            handle.halt.wanted = True
        if handle.on_error is None:
            return True
        try:
            handle.on_error(error)
        except BaseException:
            pass  # whoever was to report it can not
        return False
    finally:
        shown.view = NULL
    return True


def builtin_designs():
    cdef const c.iova_design *design
    cdef const c.iova_param *p
    cdef uint32_t index = 0
    found = []
    while True:
        design = c.iova_design_at(index)
        if design == NULL:
            return found
        index += 1
        params = []
        for i in range(design.param_count):
            p = &design.params[i]
            params.append({
                "name": p.name.decode(), "unit": p.unit.decode(), "help": p.help.decode(),
                "minimum": p.minimum, "maximum": p.maximum, "initial": p.initial,
                "automatic": p.automatic.decode() if p.automatic != NULL else None,
            })
        found.append({"name": design.name.decode(), "summary": design.summary.decode(),
                      "params": params})
