{%- set kinds = [] -%}
{%- for kind, jobs, imported, failed, index in [
    ('events', 'import_jobs', 'imported_events', 'import_errors', 'event_index'),
    ('users', 'user_import_jobs', 'imported_users', 'user_import_errors', 'user_index'),
] if is_loaded(jobs) -%}
    {%- do kinds.append({'name': kind, 'jobs': jobs, 'imported': (imported, index), 'failed': (failed, 'error_index')}) -%}
{%- endfor -%}
{{ config(enabled=kinds | length > 0) }}

with
{%- for kind in kinds %}

{{ kind.name }}_jobs as (

    select * from {{ ref('stg_fullstory_imports__' ~ kind.jobs) }}

),
{%- for rows in ('imported', 'failed') %}
{%- set stream, index = kind[rows] %}

-- Rows are numbered from 0, so a number that is missing is a gap.
{{ kind.name }}_{{ rows }} as (
    {% if is_loaded(stream) %}
    select job_id, count(*) as number_of_rows, max({{ index }}) + 1 - count(*) as gaps
    from {{ ref('stg_fullstory_imports__' ~ stream) }}
    group by job_id
    {%- else %}
    select job_id, cast(null as bigint) as number_of_rows, cast(null as bigint) as gaps
    from {{ kind.name }}_jobs
    {%- endif %}

),
{%- endfor %}

{{ kind.name }}_ids as (

    select job_id from {{ kind.name }}_jobs
    union
    select job_id from {{ kind.name }}_imported
    union
    select job_id from {{ kind.name }}_failed

),
{%- endfor %}

counted as (
    {% for kind in kinds %}
    select
        '{{ kind.name }}' as kind,
        ids.job_id,
        jobs.status,
        jobs.created_at,
        jobs.finished_at,
        jobs.imported_{{ kind.name }} as reported,
        case when imported.job_id is null then 0 else imported.number_of_rows end as loaded,
        coalesce(imported.gaps, 0) as gaps,
        jobs.failed_{{ kind.name }} as failed,
        case when failed.job_id is null then 0 else failed.number_of_rows end as failed_loaded,
        coalesce(failed.gaps, 0) as failed_gaps
    from {{ kind.name }}_ids as ids
    left join {{ kind.name }}_jobs as jobs on jobs.job_id = ids.job_id
    left join {{ kind.name }}_imported as imported on imported.job_id = ids.job_id
    left join {{ kind.name }}_failed as failed on failed.job_id = ids.job_id
    {%- if not loop.last %}

    union all
    {% endif %}
    {%- endfor %}

)

select
    kind,
    job_id,
    status,
    coalesce(status in ('COMPLETED', 'FAILED'), false) as is_finished,
    {% set accepted = var('fullstory_imports_accepted_jobs') -%}
    {% if accepted -%} job_id in ({% for id in accepted %}{{ literal(id) }}{{ ', ' if not loop.last }}{% endfor %}) {%- else -%} false {%- endif %} as is_accepted,
    created_at,
    finished_at,
    reported,
    loaded,
    case when loaded < reported then reported - loaded when loaded >= reported then 0 end as missing,
    case when loaded > reported then loaded - reported when loaded <= reported then 0 end as surplus,
    gaps,
    failed,
    failed_loaded,
    case when failed_loaded < failed then failed - failed_loaded when failed_loaded >= failed then 0 end as failed_missing,
    case when failed_loaded > failed then failed_loaded - failed when failed_loaded <= failed then 0 end as failed_surplus,
    failed_gaps
from counted
